"""An event loop whose time passes only when nothing is left to do: an hour takes no time, and a seed repeats it."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Mapping
from typing import Any

# What one round of the loop takes at most, so that things which follow each other at once share a millisecond or not.
ROUND_SECONDS_MAX = 0.00005
# Far more rounds than any simulated life has; more means that something spins.
ROUNDS_MAX = 200_000


class Standstill(AssertionError):
    """Nothing will ever happen any more, or the same thing for ever."""


class _Selector(selectors.BaseSelector):
    """Waits for no socket: it moves the time to when the loop wants to be woken."""

    def __init__(self, chance: random.Random) -> None:
        self.now = 0.0
        self._chance = chance
        self._rounds = 0
        self._is_over = False
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise Standstill(f"still running after {ROUNDS_MAX} rounds")
        if timeout is None and not self._is_over:
            # Once: what comes now is that the loop's owner cancels everything.
            self._is_over = True
            raise Standstill("nothing is left that could happen")
        self.now += max(timeout or 0.0, self._chance.random() * ROUND_SECONDS_MAX)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class TimelessLoop(asyncio.SelectorEventLoop):
    """A loop in its own time, which starts at 0."""

    def __init__(self, chance: random.Random) -> None:
        self._time = _Selector(chance)
        super().__init__(self._time)

    @property
    def now(self) -> float:
        """Return the loop's time, whatever `time` was replaced by."""
        return self._time.now

    def time(self) -> float:
        return self._time.now

    def call_soon_threadsafe(  # type: ignore[override]  # the stubs bind the types of callback and arguments
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        # There is no other thread, and nobody listens to the socket that would wake the loop.
        return self.call_soon(callback, *args, context=context)
