"""What a caller holds while its write is on the way: a thread can wait for it, a coroutine can await it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from durust.model.writes import Outcome


class Ticket(Protocol):
    """The promise of an outcome, or of the error that kept it away."""

    def settle(self, outcome: Outcome | BaseException) -> None:
        """Take the answer in. Called once, by the journal."""


class ThreadTicket:
    """A ticket that a thread waits for: one lock, which is the cheapest thing a thread can wait on."""

    __slots__ = ("_answer", "_latch")

    def __init__(self) -> None:
        self._latch = threading.Lock()
        self._latch.acquire()
        self._answer: Outcome | BaseException | None = None

    def settle(self, outcome: Outcome | BaseException) -> None:
        """Take the answer in and let the waiter go."""
        self._answer = outcome
        self._latch.release()

    def wait(self, timeout_seconds: float = -1) -> Outcome:
        """Return the outcome, or raise what kept it away. Raises `TimeoutError` after *timeout_seconds*."""
        if not self._latch.acquire(timeout=timeout_seconds):
            raise TimeoutError
        self._latch.release()
        if isinstance(self._answer, BaseException):
            raise self._answer
        if self._answer is None:
            raise TimeoutError
        return self._answer


class LoopTicket:
    """A ticket that a coroutine awaits. Abandoning the await abandons the ticket, not the write."""

    __slots__ = ("answer", "future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[Outcome] = loop.create_future()
        self.answer: Outcome | BaseException | None = None

    def settle(self, outcome: Outcome | BaseException) -> None:
        """Take the answer in; `deliver` hands it over on the loop, once for a whole batch."""
        self.answer = outcome

    def renew(self) -> None:
        """Make the ticket awaitable again after a cancellation of its await. Called on the loop."""
        if self.future.cancelled():
            self.future = self.loop.create_future()
            # The answer may have come between the cancellation and now.
            self.resolve()

    def resolve(self) -> None:
        """Hand the answer over, if it is there and somebody waits for it. Called on the loop."""
        if self.future.done():
            return
        if isinstance(self.answer, BaseException):
            self.future.set_exception(self.answer)
        elif self.answer is not None:
            self.future.set_result(self.answer)


def deliver(tickets: Iterable[Ticket]) -> None:
    """Wake each event loop once for all of its settled tickets."""
    loops: dict[asyncio.AbstractEventLoop, list[LoopTicket]] = {}
    for ticket in tickets:
        if isinstance(ticket, LoopTicket):
            loops.setdefault(ticket.loop, []).append(ticket)
    for loop, mine in loops.items():
        # A loop that was closed has nobody left who could hear.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(tickets: list[LoopTicket]) -> None:
    for ticket in tickets:
        ticket.resolve()
