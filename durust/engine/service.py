"""The base of everything that the engine does again and again."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from durust import clock
from durust.errors import ProviderUnavailable
from durust.telemetry import emit

Seconds = float

# After an error a service waits this long, twice as long after the next, and at most so long: work resumes within 3 s
# of the database's return.
ERROR_PAUSE_SECONDS = 0.1
ERROR_PAUSE_SECONDS_MAX = 1.0
# Stopping waits this long for a round under way: longer than any statement timeout of a provider.
STOP_SECONDS = 15.0


class Service(ABC):
    """Runs `run_once` in a thread of its own until it is stopped."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name=f"durust-{name}", daemon=True)

    @abstractmethod
    def run_once(self) -> Seconds | None:
        """Do one round and return how long to wait until the next; None waits until somebody wakes the service."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Make the next round come at once. May be called from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """End after the round under way, and wait for it. Idempotent."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            try:
                pause = self.run_once()
                failures = 0
            except ProviderUnavailable as error:
                emit("provider_away", service=self.name, reason=error.reason)
                pause = self._pause_after(failures)
                failures += 1
            except Exception as error:  # noqa: BLE001  one bad round must not end the service; it is counted and shown
                emit("service_failed", service=self.name, error=repr(error))
                pause = self._pause_after(failures)
                failures += 1
            if pause is None or pause > 0:
                # A deadline at the end of all calendars is further away than a thread can wait; it just looks again.
                self._wake.wait(None if pause is None else min(pause, threading.TIMEOUT_MAX))

    @staticmethod
    def _pause_after(failures: int) -> Seconds:
        longest = min(ERROR_PAUSE_SECONDS * 2.0 ** min(failures, 10), ERROR_PAUSE_SECONDS_MAX)
        return longest * (0.5 + clock.jitter() / 2)
