"""Moves what is due: delayed to queued, what dead executors held to queued."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from durust import clock
from durust.engine.service import Seconds, Service
from durust.model.filters import SweepRequest
from durust.model.sweeps import Swept
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# A round that found more does the next at once, but not quicker than this: other work of the database goes between.
BUSY_PAUSE_SECONDS = 0.005


class Sweeper(Service):
    """Sweeps in a rhythm, and earlier when the database says that a row becomes due earlier."""

    def __init__(
        self,
        provider: StateProvider,
        cadence_seconds: float,
        request: Callable[[], SweepRequest],
        swept: Callable[[Swept], None],
    ) -> None:
        super().__init__("sweeper")
        self._provider, self._cadence = provider, cadence_seconds
        self._request, self._swept = request, swept
        self._mutex = threading.Lock()
        # When the next round begins; while one is under way, which may have looked too early, no instant is later.
        self._planned = -math.inf
        self._expected = math.inf

    def expect(self, seconds: float) -> None:
        """Take in that a row becomes due in so many seconds: the next round comes before that, and knows when."""
        due = clock.monotonic() + seconds
        with self._mutex:
            self._expected = min(self._expected, due)
            is_too_late = due < self._planned
        if is_too_late:
            self.wake()

    def run_once(self) -> Seconds:
        """Sweep once and return how long until the next."""
        with self._mutex:
            self._planned, self._expected = -math.inf, math.inf
        swept = self._provider.sweep(self._request())
        if swept.orphans:
            emit("orphans_released", count=swept.orphans)
        if swept.reaped:
            # Who died without any work in hand is nothing that somebody has to see.
            emit(
                "reaped" if swept.released else "reaped_idle", executors=",".join(swept.reaped), released=swept.released
            )
        if swept.timed_out:
            emit("timed_out", count=swept.timed_out)
        self._swept(swept)
        pause = BUSY_PAUSE_SECONDS if swept.more else self._pause(swept.next_due_seconds)
        with self._mutex:
            now = clock.monotonic()
            pause = max(BUSY_PAUSE_SECONDS, min(pause, self._expected - now))
            self._planned = now + pause
        return pause

    def _pause(self, next_due_seconds: float | None) -> Seconds:
        # Out of step with the sweepers of other processes.
        cadence = self._cadence * (0.75 + clock.jitter() / 2)
        return cadence if next_due_seconds is None else max(BUSY_PAUSE_SECONDS, min(cadence, next_due_seconds))
