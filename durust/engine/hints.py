"""Hints: something changed, look now rather than at the next poll. Losing one costs time and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from durust import clock
from durust.engine.service import Seconds, Service
from durust.engine.watcher import hint_key
from durust.errors import ProviderUnavailable
from durust.model.copies import ImportWorkflows
from durust.model.wakes import wakes_of
from durust.model.writes import (
    INTERNAL_QUEUE,
    CalledOff,
    CancelWorkflow,
    DebounceWorkflow,
    DeleteWorkflow,
    ExpireWorkflow,
    FinishWorkflow,
    ForkWorkflow,
    Outcome,
    Recorded,
    ResumeWorkflow,
    SetDelay,
    StartChild,
    StartWorkflow,
    Write,
)
from durust.storage.provider import Hint, Listener, StateProvider
from durust.telemetry import emit

# A notification takes a lock of the whole database at its commit, so they are gathered for this long.
GATHER_SECONDS = 0.005
# How long the ear listens at a stretch; it is woken to stop, so this only bounds a lost wake-up.
LISTEN_SECONDS = 1.0


def hints_of(write: Write, outcome: Outcome) -> Iterator[Hint]:
    """Return what a committed write says to those who wait: that there is work, or that something has come."""
    if isinstance(outcome, CalledOff):
        yield from (Hint("cancel", workflow_id) for workflow_id in outcome.workflow_ids)
    if (hint := _hint_of(write, outcome)) is not None:
        yield hint
    if isinstance(outcome, Recorded):
        for wake in wakes_of(write):
            if wake.key is not None:
                yield Hint(wake.kind, hint_key(wake.target, wake.key))
    if isinstance(outcome, Recorded | CalledOff):
        for queue in outcome.queues:
            yield Hint("queue", queue)


def _hint_of(write: Write, outcome: Outcome) -> Hint | None:
    match write, outcome:
        case StartWorkflow(lease=None), Recorded() if not write.delay_seconds:
            return Hint("queue", write.queue or INTERNAL_QUEUE)
        case StartChild(start=start), Recorded() if not start.delay_seconds:
            return Hint("queue", start.queue or INTERNAL_QUEUE)
        case DebounceWorkflow(start=start), Recorded(workflow_id=begun) if begun == start.workflow_id:
            # A new run, which may have made way for itself by queueing one that was due.
            return Hint("queue", start.queue or INTERNAL_QUEUE)
        case FinishWorkflow() | ExpireWorkflow(), Recorded():
            return Hint("workflow")
        case ForkWorkflow(queue=queue), Recorded():
            return Hint("queue", queue or INTERNAL_QUEUE)
        case CancelWorkflow(workflow_id) | DeleteWorkflow(workflow_id), Recorded():
            return Hint("cancel", workflow_id)
        case ResumeWorkflow() | ImportWorkflows() | SetDelay(delay_seconds=0), Recorded():
            # Back to its queue, which only its row knows.
            return Hint("any")
    return None


class Herald(Service):
    """Announces what this process committed, gathered, after the commit."""

    def __init__(self, provider: StateProvider) -> None:
        super().__init__("herald")
        self._provider = provider
        self._mutex = threading.Lock()
        self._pending: set[Hint] = set()

    def tell(self, hints: Iterable[Hint]) -> None:
        """Have hints announced soon. May be called from any thread."""
        with self._mutex:
            self._pending.update(hints)
        self.wake()

    def run_once(self) -> Seconds | None:
        """Announce what gathered."""
        with self._mutex:
            hints, self._pending = self._pending, set()
        if not hints:
            return None
        self._provider.announce(sorted(hints, key=lambda hint: (hint.kind, hint.key)))
        clock.pause(GATHER_SECONDS)
        return 0

    def flush(self) -> None:
        """Announce, on this thread, what is left; where the database is away the polls have to do."""
        with self._mutex:
            hints, self._pending = self._pending, set()
        if hints:
            try:
                self._provider.announce(sorted(hints, key=lambda hint: (hint.kind, hint.key)))
            except ProviderUnavailable as error:
                emit("hints_lost", reason=error.reason)

    def stop(self) -> None:
        """Stop, and announce what the last round left."""
        super().stop()
        self.flush()


class Ear(Service):
    """Hears hints and passes them on."""

    def __init__(self, listener: Listener, heard: Callable[[Hint], None]) -> None:
        super().__init__("ear")
        self._listener = listener
        self._heard = heard

    def run_once(self) -> Seconds:
        """Listen for a while."""
        for hint in self._listener.wait(LISTEN_SECONDS):
            self._heard(hint)
        return 0

    def stop(self) -> None:
        """Stop listening and close the subscription."""
        self._stopping = True
        self._listener.wake()
        super().stop()
        self._listener.close()
