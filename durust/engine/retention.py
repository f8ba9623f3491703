"""Removes, batch after batch, what has ended and is old or too much."""

from __future__ import annotations

from collections.abc import Callable

from durust import clock
from durust.engine.service import Seconds, Service
from durust.model.filters import PurgeRequest, Scope
from durust.model.sweeps import Purged
from durust.settings import Settings
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# What is too old is gone within about a minute, and a round that finds nothing is two short statements.
ROUND_SECONDS = 60.0
# Between two batches, so that other work of the database goes between.
BATCH_PAUSE_SECONDS = 0.005
# A million workflows with batches of the usual size; whoever has more purges again.
BATCHES_MAX = 10_000


class Retention(Service):
    """Purges in a rhythm what the settings say; executors that have been dead for long are forgotten in any case."""

    def __init__(self, provider: StateProvider, request: Callable[[], PurgeRequest]) -> None:
        super().__init__("retention")
        self._provider, self._request = provider, request

    def run_once(self) -> Seconds:
        """Purge one batch and return how long until the next."""
        purged = self._provider.purge(self._request())
        if purged.workflows or purged.executors:
            emit("purged", workflows=purged.workflows, executors=purged.executors)
        # Out of step with the purges of other processes.
        return BATCH_PAUSE_SECONDS if purged.more else ROUND_SECONDS * (0.75 + clock.jitter() / 2)


def retention_request(settings: Settings, scope: Scope) -> PurgeRequest:
    """Return what the settings say about how long ended workflows are kept."""
    return PurgeRequest(
        scope=scope, ended_before_seconds=settings.retention_seconds, keep_newest=settings.retention_count
    )


def purge_in_batches(provider: StateProvider, request: PurgeRequest, batches_max: int = BATCHES_MAX) -> Purged:
    """Purge until nothing more is found, or for so many batches; a call that was killed is simply made again."""
    workflows = executors = 0
    for _ in range(batches_max):
        purged = provider.purge(request)
        workflows, executors = workflows + purged.workflows, executors + purged.executors
        if not purged.more or request.is_dry:
            return Purged(workflows, executors, more=purged.more)
        clock.pause(BATCH_PAUSE_SECONDS)
    return Purged(workflows, executors, more=True)
