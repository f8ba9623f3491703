"""Counts the bodies that are inside at once, and holds them there until it is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Long enough for a machine with more processes than cores.
PATIENCE = 30.0


class Gauge:
    """Counts the bodies that are inside at once, and holds them there until it is opened."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._gate = threading.Event()
        self.now = self.peak = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._mutex:
            self.now += 1
            self.peak = max(self.peak, self.now)
        assert self._gate.wait(PATIENCE)
        yield
        with self._mutex:
            self.now -= 1

    def visit(self) -> None:
        with self.inside():
            pass

    def open(self) -> None:
        self._gate.set()
