"""The timers of workflow bodies: they belong to the run, and fire when it is their turn among its operations.

`asyncio.timeout`, `wait_for`, `wait` and `asyncio.sleep` in a body all end up at the loop's `call_later` or `call_at`.
Left to the loop they would fire at another moment in every replay. A governed loop hands those of a body to its run,
and tells the body the run's time; everything else on it, step bodies included, sees the loop as it is.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol

from durust.routines.replay import Key


class Governor(Protocol):
    """Who keeps the time and the timers of one run."""

    @property
    def is_open(self) -> bool:
        """Whether it does so now."""

    def time(self) -> float:
        """Return the run's time in seconds."""

    def start_timer(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> RunTimer:
        """Have *callback* called at *when* of the run's time."""


GOVERNOR: ContextVar[Governor | None] = ContextVar("durust_governor", default=None)
"""Set while a workflow's own body runs; not in its operations, whose pauses and step bodies are not replayed."""


class RunTimer(asyncio.TimerHandle):
    """A timer that its run calls, instead of the loop."""

    def __init__(
        self,
        key: Key,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.key = key

    def cancel(self) -> None:
        """Never fire. The loop keeps no count of it, as it would of its own."""
        asyncio.Handle.cancel(self)

    def fire(self) -> None:
        """Call what the timer is for, in the context that it was made in, unless it was cancelled."""
        if not self.cancelled():
            self._run()


def govern(loop: asyncio.AbstractEventLoop) -> None:
    """Give the timers of workflow bodies on *loop* to their runs, from now on.

    A loop that lets nobody replace its methods stays as it is: there the body's own timers pass again in a replay.
    """
    if getattr(loop, "durust_governs", False):
        return
    own_time, own_call_at, own_call_later = loop.time, loop.call_at, loop.call_later

    def time() -> float:
        governor = GOVERNOR.get()
        return own_time() if governor is None or not governor.is_open else governor.time()

    def call_at(when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        governor = GOVERNOR.get()
        if governor is None or not governor.is_open:
            return own_call_at(when, callback, *args, context=context)
        return governor.start_timer(when, callback, args, context)

    def call_later(delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        governor = GOVERNOR.get()
        if governor is None or not governor.is_open:
            return own_call_later(delay, callback, *args, context=context)
        return governor.start_timer(governor.time() + delay, callback, args, context)

    with suppress(AttributeError):
        for name, replacement in {
            "durust_governs": True,
            "time": time,
            "call_at": call_at,
            "call_later": call_later,
        }.items():
            setattr(loop, name, replacement)
