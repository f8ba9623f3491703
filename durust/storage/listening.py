"""Subscriptions to hints that come from within this process, or that are made late."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from durust.storage.provider import Hint, Listener

# A listener that nobody reads forgets its oldest hints: a poll stands behind each.
HINTS_MAX = 1024


class LocalListener:
    """Holds hints until somebody waits for them."""

    def __init__(self, forget: Callable[[LocalListener], None]) -> None:
        self._forget = forget
        self._changed = threading.Condition()
        self._hints: deque[Hint] = deque(maxlen=HINTS_MAX)
        self._is_woken = False

    def hear(self, hints: Sequence[Hint]) -> None:
        """Take *hints* in and wake whoever waits."""
        with self._changed:
            self._hints.extend(hints)
            self._changed.notify_all()

    def wait(self, timeout_seconds: float) -> list[Hint]:
        with self._changed:
            self._changed.wait_for(lambda: self._is_woken or self._hints, timeout_seconds)
            self._is_woken = False
            heard = list(self._hints)
            self._hints.clear()
            return heard

    def wake(self) -> None:
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._forget(self)
        self.wake()


class LateListener:
    """A subscription that the thread which waits on it makes, because subscribing asks the database."""

    def __init__(self, listen: Callable[[], Listener]) -> None:
        self._listen = listen
        self._behind: Listener | None = None

    def wait(self, timeout_seconds: float) -> list[Hint]:
        if self._behind is None:
            self._behind = self._listen()
            # Whatever was announced before was not heard.
            return [Hint("any")]
        return self._behind.wait(timeout_seconds)

    def wake(self) -> None:
        if self._behind is not None:
            self._behind.wake()

    def close(self) -> None:
        if self._behind is not None:
            self._behind.close()
