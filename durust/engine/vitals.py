"""How an engine is doing, in a few numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vitals:
    """A moment of an engine. Counts are since its launch."""

    state: str
    running: int
    done: int
    failed: int
    steps: int


class Tally:
    """Counts what an engine does; cheap enough for the hot path."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self.done = 0
        self.failed = 0
        self.steps = 0

    def count(self, *, done: int = 0, failed: int = 0, steps: int = 0) -> None:
        """Add to the counts."""
        with self._mutex:
            self.done += done
            self.failed += failed
            self.steps += steps
