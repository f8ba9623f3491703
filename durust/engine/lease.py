"""Keeps the lease of an engine that runs without a supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable

from durust import clock
from durust.engine.service import Seconds, Service
from durust.model.writes import Alive, Beat, Outcome, Write
from durust.settings import Settings
from durust.storage.provider import StateProvider


class OwnLease(Service):
    """Beats for one executor, on a connection of its own, from a thread that runs no user code."""

    def __init__(
        self, provider: StateProvider, settings: Settings, executor_id: Callable[[], str], lost: Callable[[], None]
    ) -> None:
        super().__init__("lease")
        self._provider = provider
        self._writer = provider.writer()
        self._mutex = threading.Lock()
        self._settings = settings
        self._executor_id, self._lost = executor_id, lost
        self._sent = clock.boottime()

    def commit(self, *writes: Write) -> Outcome:
        """Commit writes about this executor outside the journal, which may be held up; return what the last one got."""
        with self._mutex:
            return self._writer.commit(writes)[-1]

    def renewed(self, sent: float) -> None:
        """Note that a beat, sent at that boot time, was confirmed."""
        self._sent = sent

    def trusted(self) -> bool:
        """Tell whether the lease surely holds: it counts from when the beat was sent, not from its answer."""
        return clock.boottime() < self._sent + self._settings.lease_seconds - self._settings.lease_margin_seconds

    def run_once(self) -> Seconds:
        """Beat once."""
        sent = clock.boottime()
        me = self._executor_id()
        outcome = self.commit(Beat((me,), self._settings.lease_seconds))
        if isinstance(outcome, Alive) and me in outcome.executor_ids:
            self.renewed(sent)
            return self._settings.beat_seconds
        if self._stopping or me != self._executor_id():
            return self._settings.beat_seconds
        self._lost()
        # The new executor has a lease from its registration; one that drains has no use for another beat.
        return self._settings.beat_seconds

    def stop(self) -> None:
        """Stop beating and close the connection."""
        super().stop()
        with self._mutex:
            self._writer.close()
