"""A line on which every hint is lost, both ways."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from durust.storage.provider import Hint, Listener
from tests.support.line import Line


class Deaf:
    """A listener that hears nothing."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, timeout_seconds: float) -> list[Hint]:
        self._woken.wait(timeout_seconds)
        return []

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()


class HintlessLine(Line):
    """A line on which every announcement is lost."""

    def announce(self, hints: Sequence[Hint]) -> None:
        self.calls["announce"] += 1

    def listen(self) -> Listener:
        return Deaf()
