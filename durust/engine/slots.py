"""How much of this process is taken: one slot for each workflow that runs here."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable


class Slots:
    """Counts what runs, in all and for each queue."""

    def __init__(self, size: int, freed: Callable[[], None]) -> None:
        self.size = size
        self._freed = freed
        self._mutex = threading.Lock()
        self._running: Counter[str | None] = Counter()
        self._taken = 0

    def free(self) -> int:
        """Return how many slots are free."""
        return self.size - self._taken

    def running(self, queue: str | None) -> int:
        """Return how many workflows of a queue hold a slot."""
        return self._running[queue]

    def take(self, queue: str | None) -> bool:
        """Take a slot; False when none is free."""
        with self._mutex:
            if self._taken >= self.size:
                return False
            self._taken += 1
            self._running[queue] += 1
            return True

    def give_back(self, queue: str | None) -> None:
        """Give a slot back and say so."""
        with self._mutex:
            self._taken -= 1
            self._running[queue] -= 1
        self._freed()
