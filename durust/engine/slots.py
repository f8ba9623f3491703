"""How much of this process is taken: one slot for each workflow that runs here."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence


class Slots:
    """Counts what runs, in all and for each queue."""

    def __init__(self, size: int, freed: Callable[[], None]) -> None:
        self.size = size
        self._freed = freed
        self._mutex = threading.Lock()
        self._running: Counter[str | None] = Counter()
        self._taken = 0

    def running(self, queue: str | None) -> int:
        """Return how many workflows of a queue hold a slot."""
        return self._running[queue]

    def are_all_taken(self) -> bool:
        """Tell whether a workflow runs in every slot; what a claim under way holds counts for nothing."""
        return self._running.total() >= self.size

    def take(self, queue: str | None) -> bool:
        """Take a slot; False when none is free."""
        with self._mutex:
            if self._taken >= self.size:
                return False
            self._taken += 1
            self._running[queue] += 1
            return True

    def reserve(self) -> int:
        """Hold every free slot for a claim under way, so that nothing else takes one; return how many there were."""
        with self._mutex:
            reserved = self.size - self._taken
            self._taken = self.size
        return reserved

    def settle(self, reserved: int, queues: Sequence[str | None]) -> None:
        """End a reservation: one slot is taken for each of *queues*, the rest is free again."""
        with self._mutex:
            self._taken -= reserved - len(queues)
            self._running.update(queues)

    def give_back(self, queue: str | None) -> None:
        """Give a slot back and say so."""
        with self._mutex:
            self._taken -= 1
            self._running[queue] -= 1
        self._freed()
