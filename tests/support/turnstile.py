"""Lets the commits of a journal through one by one, so that a test decides what goes in one batch."""

from __future__ import annotations

import threading
from types import TracebackType

from durust.engine.journal import Journal
from durust.model.writes import Write
from tests.support.waiting import eventually


class Turnstile:
    """Stands in for the lock under which a journal commits: nothing is committed until it is let through."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._lock = journal, journal._commit_mutex
        self._permits = threading.Semaphore(0)
        self._is_open = threading.Event()
        journal._commit_mutex = self  # type: ignore[assignment]  # what the journal does with a lock

    def gather(self, count: int, kind: type[Write]) -> None:
        """Wait until *count* writes of a kind are queued."""
        eventually(lambda: sum(type(write) is kind for write, _ in self._journal._queue) == count)

    def let_through(self, count: int, kind: type[Write]) -> None:
        """Wait until *count* writes of a kind are queued, and let one batch through."""
        self.gather(count, kind)
        self._permits.release()

    def open(self) -> None:
        """From now on let everything through."""
        self._is_open.set()
        self._permits.release()

    # What the journal does with its lock

    def acquire(self, *, blocking: bool = True) -> bool:
        """Refuse whoever would commit on the way; let the journal's own thread in when it may."""
        if not self._is_open.is_set():
            if not blocking:
                return False
            self._permits.acquire()
        return self._lock.acquire(blocking=blocking)

    def release(self) -> None:
        """Let the next one in."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
