"""The two drivers of a routine: one blocks, one awaits, and nothing else differs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, NoReturn, Protocol, TypeVar

from durust import clock
from durust.engine.journal import Journal
from durust.engine.ticket import LoopTicket
from durust.engine.timers import GOVERNOR
from durust.engine.turns import Turn, Turns
from durust.errors import Unwind
from durust.model.attribute_writes import RecordAttributes
from durust.model.message_writes import RecordSend
from durust.model.publications import AppendStream, SetEvent
from durust.model.writes import Outcome, RecordSleep, RecordStep, RunWrite
from durust.routines.effects import Call, Commit, Cut, Ended, Pause, Raised, Returned, Routine, StepEnd, Wait
from durust.routines.lifecycle import park
from durust.routines.patches import is_marker
from durust.routines.run import Run, Verdict

T = TypeVar("T")

# How often a body looks again whether its lease is trusted; well below the time a beat takes to be late.
DISTRUST_PAUSE_SECONDS = 0.05
# How long a coroutine leaves a full journal alone before it looks again: a large batch commits in about that time.
FULL_PAUSE_SECONDS = 0.005
# A body that goes on asking after its run was closed is refused at once this often, as an honest unwinding needs; from
# then on each refusal is slow, so that a loop around a bare `except` does not burn a core.
QUICK_REFUSALS = 100
REFUSAL_PAUSE_SECONDS = 0.1


class Ground(Protocol):
    """What a driver stands on: the engine, as one run sees it."""

    journal: Journal

    def trusted(self) -> bool:
        """Tell whether the executor's lease surely still holds."""

    def park_after_ms(self) -> float:
        """Return how long a wait may keep its stack."""

    def on_loop(self, body: Any) -> Future[Ended]:
        """Start an async body on the engine's loop, for a thread that waits for it."""

    async def in_thread(self, body: Any) -> Ended:
        """Run a sync body in a thread, for a coroutine that waits for it."""


class BlockingDriver:
    """Drives the routines of a sync run in the thread that calls them."""

    def __init__(self, run: Run, ground: Ground) -> None:
        self._run, self._ground = run, ground
        self._closing = threading.Event()
        self._pending: Future[Ended] | None = None

    def interrupt(self) -> None:
        """Wake the run from a pause or an async step, because it was closed. May be called from any thread."""
        self._closing.set()
        if (pending := self._pending) is not None:
            pending.cancel()

    def operate(self, routine: Routine[T]) -> T:
        """Carry an operation's routine through and return its result. Raises `Unwind` when the run is closed."""
        if self._run.is_closed():
            self._refuse()
        try:
            return self.drive(routine)
        except Exception as error:  # noqa: BLE001  how a step ends is a value, so this is a fault of what carries it
            self._run.break_off(error)

    def drive(self, routine: Routine[T]) -> T:
        """Carry a routine through that is no operation of the body."""
        reply: Any = None
        while True:
            try:
                effect = routine.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's value is untyped in the exception
            match effect:
                case Commit(write):
                    reply = self._ground.journal.commit(write)
                case Call(body, is_async):
                    reply = self._call(body, is_async=is_async)
                case Pause(seconds):
                    self._pause(seconds)
                    reply = None
                case Wait(place, until_ms):
                    self._wait(place, until_ms)
                    reply = None

    def _call(self, body: Any, *, is_async: bool) -> Ended:
        while not self._ground.trusted():
            self._pause(DISTRUST_PAUSE_SECONDS)
        if is_async:
            return self._call_on_loop(body)
        ended = call(body)
        if isinstance(ended, Returned) and inspect.isawaitable(ended.value):
            # A plain function that answers an awaitable, such as a lambda around an async step.
            return self._call_on_loop(lambda: ended.value)
        return ended

    def _call_on_loop(self, body: Any) -> Ended:
        self._pending = self._ground.on_loop(body)
        if self._closing.is_set():
            self._pending.cancel()
        try:
            return self._pending.result()
        except CancelledError as error:
            self._run.ensure_open()
            return Raised(error)
        finally:
            self._pending = None

    def _refuse(self) -> NoReturn:
        self._run.refusals += 1
        if self._run.refusals > QUICK_REFUSALS:
            clock.pause(REFUSAL_PAUSE_SECONDS)
        raise Unwind("the run is closed")

    def _pause(self, seconds: float) -> None:
        # A pause of ages is further away than a thread can wait.
        self._closing.wait(min(seconds, threading.TIMEOUT_MAX))
        self._run.ensure_open()

    def _wait(self, place: int, until_ms: int) -> None:
        while (left_ms := until_ms - self._run.now_ms()) > 0:
            if left_ms > self._ground.park_after_ms():
                self._run.ensure_open()
                self._run.close(Verdict.PARKED)
                self.drive(park(self._run, until_ms, [place]))
                raise Unwind(Verdict.PARKED.name)
            self._pause(left_ms / 1000)


class AwaitingDriver:
    """Drives the routines of an async run on its loop."""

    def __init__(self, run: Run, ground: Ground, turns: Turns, unwind: Callable[[], None]) -> None:
        self._run, self._ground, self._turns, self._unwind = run, ground, turns, unwind
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()

    async def operate(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> StepEnd:
        """Carry an operation's routine through and return its end when it is its turn.

        Raises `Unwind` when the run is closed, in other tasks than the body's own a cancellation. A cancellation by the
        body's own code cuts an operation short, which is recorded; one that comes when it has completed is late: the
        operation comes back, as it will in every replay, and its task is cancelled right after.
        """
        turn: Turn | None = None
        # What is waited for in here is no timer of the body's.
        governor = GOVERNOR.get()
        GOVERNOR.set(None)
        try:
            if self._run.is_closed():
                await self._refuse()
            turn = self._turns.enter(place, is_wait=is_wait)
            end = await self.drive(routine, turn)
            if not isinstance(end, Raised) or isinstance(end.error, Exception):
                await self._turns.deliver(turn, is_cut=isinstance(end, Cut))
            self._run.ensure_open()
        except Unwind as unwinding:
            raise self._unwound(unwinding) from None
        except Exception as error:  # noqa: BLE001  how a step ends is a value, so this is a fault of what carries it
            try:
                self._run.break_off(error)
            except Unwind as unwinding:
                raise self._unwound(unwinding) from error
        finally:
            if turn is not None:
                self._turns.leave(turn)
            if self._run.is_closed():
                self._unwind()
            GOVERNOR.set(governor)
        if turn.is_cancelled and turn.task is not None and not isinstance(end, Cut):
            self._loop.call_soon(_cancel_again, turn.task)
        return end

    def _unwound(self, unwinding: Unwind) -> BaseException:
        # asyncio complains of a task whose error nobody asks for, but not of a cancelled one.
        return unwinding if asyncio.current_task() is self._main else asyncio.CancelledError()

    async def drive(self, routine: Routine[T], turn: Turn | None = None) -> T:
        """Carry a routine through; without a turn it is no operation of the body."""
        reply: Any = None
        while True:
            try:
                effect = routine.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's value is untyped in the exception
            match effect:
                case Commit(write):
                    reply = await self._commit(write, turn)
                case Call(body, is_async):
                    reply = await self._unless_cut(self._call(body, is_async=is_async), turn)
                case Pause(seconds):
                    reply = await self._unless_cut(asyncio.sleep(seconds), turn)
                case Wait(_, until_ms):
                    if turn is None:
                        raise TypeError("only an operation of the body waits")
                    is_cut = await self._turns.sleep_until(turn, until_ms)
                    reply = Cut() if is_cut else None

    async def _unless_cut(self, part: Awaitable[T], turn: Turn | None) -> T | Cut:
        try:
            return await part
        except asyncio.CancelledError:
            if turn is None or self._run.is_closed():
                raise
            turn.is_cancelled = True
            return Cut()

    async def _refuse(self) -> NoReturn:
        self._run.refusals += 1
        # Even a quick refusal lets the loop go round: a body that swallows it must not hold up everybody else's.
        await asyncio.sleep(REFUSAL_PAUSE_SECONDS if self._run.refusals > QUICK_REFUSALS else 0)
        raise Unwind("the run is closed")

    async def _commit(self, write: RunWrite, turn: Turn | None) -> Outcome:
        # A poll, because the journal's room is a matter of threads and this is rare.
        # A patch does not wait, because records of later places that overtake it would tell another story.
        while self._ground.journal.is_full() and not is_marker(write):  # noqa: ASYNC110  see above
            await asyncio.sleep(FULL_PAUSE_SECONDS)
        ticket = LoopTicket(self._loop)
        match write:
            case RecordStep() | SetEvent() | AppendStream() | RecordSend() | RecordAttributes() if turn is not None:
                self._turns.commits(turn, write.completed_at_ms)
            case RecordSleep() if turn is not None:
                self._turns.commits(turn, write.not_before_ms)
        self._ground.journal.submit(write, ticket)
        while True:
            try:
                return await ticket.future
            except asyncio.CancelledError:
                if turn is None or self._run.is_closed():
                    raise
                turn.is_cancelled = True
                ticket.renew()

    async def _call(self, body: Any, *, is_async: bool) -> Ended:
        while not self._ground.trusted():
            await asyncio.sleep(DISTRUST_PAUSE_SECONDS)
            self._run.ensure_open()
        if is_async:
            return await acall(body)
        ended = await self._ground.in_thread(body)
        if isinstance(ended, Returned) and inspect.isawaitable(ended.value):
            return await acall(lambda: ended.value)
        return ended


def _cancel_again(task: asyncio.Task[Any]) -> None:
    # A timeout that has taken its cancellation back meanwhile is done with it.
    if not task.done() and task.cancelling():
        task.uncancel()
        task.cancel()


def call(body: Any) -> Ended:
    """Call a sync body and return its end as a value."""
    try:
        return Returned(body())
    except Unwind:
        raise
    except BaseException as error:  # noqa: BLE001  how a body ends is a value here, whatever it raised
        return Raised(error)


async def acall(body: Any) -> Ended:
    """Call an async body and return its end as a value."""
    try:
        return Returned(await body())
    except Unwind:
        raise
    except asyncio.CancelledError as error:
        # Either this task is being cancelled, or the body raised it by itself.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Raised(error)
    except BaseException as error:  # noqa: BLE001  how a body ends is a value here, whatever it raised
        return Raised(error)
