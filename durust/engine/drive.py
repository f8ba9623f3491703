"""The two drivers of a routine: one blocks, one awaits, and nothing else differs."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

from durust import clock
from durust.engine.journal import Journal
from durust.engine.ticket import LoopTicket
from durust.engine.timers import GOVERNOR
from durust.engine.transactor import LoopAsker
from durust.engine.turns import Turn, Turns
from durust.errors import Unwind
from durust.model.waits import SLEEP, Arrival, Awaited, Found
from durust.model.writes import Nothing, Outcome, RecordSleep, RunWrite, Wait
from durust.routines.effects import (
    Await,
    Call,
    Commit,
    Cut,
    Ended,
    Pause,
    Raised,
    Returned,
    Routine,
    Sleep,
    StepEnd,
    Transact,
)
from durust.routines.lifecycle import park
from durust.routines.patches import is_marker
from durust.routines.replay import SLEEP_NAME
from durust.routines.run import Run, Verdict

T = TypeVar("T")

# How often a body looks again whether its lease is trusted; well below the time a beat takes to be late.
DISTRUST_PAUSE_SECONDS = 0.05
# How long a coroutine leaves a full journal alone before it looks again: a large batch commits in about that time.
FULL_PAUSE_SECONDS = 0.005
# While a body waits for what others do, its thread looks so many times whether the slots have become scarce.
LOOKS_BEFORE_PARKING = 10
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

    def patience_ms(self) -> float:
        """Return how long a wait for what others do may keep its slot before it parks."""

    def watch(self, awaited: Awaited) -> Future[Found]:
        """Return a future of what there is of *awaited* once it has come."""

    def abandon(self, awaited: Awaited, future: Future[Found]) -> None:
        """Stop watching."""

    def look(self, what: Sequence[Awaited]) -> Mapping[Awaited, Found]:
        """Return what there is of *what* now. Blocks."""

    async def begin_in_thread(self, body: Any) -> asyncio.Future[Ended | BaseException]:
        """Run a sync body in a thread, and return as soon as it has begun."""

    def transact(self, effect: Transact, asker: Any) -> Any:
        """Carry a transaction through in this thread, asking the run through *asker*; return how it ended."""


class BlockingDriver:
    """Drives the routines of a sync run in the thread that calls them."""

    def __init__(self, run: Run, ground: Ground) -> None:
        self._run, self._ground = run, ground
        self._closing = threading.Event()
        self._pending: Future[Ended] | None = None
        self._stirred: threading.Event | None = None

    def interrupt(self) -> None:
        """Wake the run from a pause or an async step, because it was closed. May be called from any thread."""
        self._closing.set()
        if (pending := self._pending) is not None:
            pending.cancel()
        self.stir()

    def stir(self) -> None:
        """Have a wait for others see anew whether it should park. May be called from any thread."""
        if (stirred := self._stirred) is not None:
            stirred.set()

    def operate(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation's routine through and return its value, or raise its error.

        Raises `Unwind` when the run is closed.
        """
        if self._run.is_closed():
            self._refuse()
        try:
            end = self.drive(routine)
        except Exception as error:  # noqa: BLE001  how a step ends is a value, so this is a fault of what carries it
            self._run.break_off(error)
        match end:
            case Returned():
                return end.value
            case Raised():
                raise end.error
            case Cut():
                raise TypeError("nothing cuts the step of a sync workflow short")

    def drive(self, routine: Routine[T]) -> T:
        """Carry a routine through that is no operation of the body."""
        reply: Any = None
        while True:
            try:
                effect = routine.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's value is untyped in the exception
            match effect:
                case Commit():
                    reply = self._ground.journal.commit(effect.write)
                case Call():
                    reply = self._call(effect.body, is_async=effect.is_async)
                case Pause(seconds):
                    self._pause(seconds)
                    reply = None
                case Sleep(place, until_ms):
                    self._wait(place, until_ms)
                    reply = None
                case Await(place, what, until_ms):
                    reply = self._await(place, what, until_ms)
                case Transact():
                    self._await_trust()
                    reply = self._ground.transact(effect, effect.asker)

    def _await_trust(self) -> None:
        while not self._ground.trusted():
            self._pause(DISTRUST_PAUSE_SECONDS)

    def _call(self, body: Any, *, is_async: bool) -> Ended:
        self._await_trust()
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
                self._park([Wait(place, SLEEP, until_ms=until_ms)])
            self._pause(left_ms / 1000)

    def _await(self, place: int, what: tuple[Awaited, ...], until_ms: int | None) -> Arrival | None:
        stirred = self._stirred = threading.Event()
        begun = clock.monotonic()
        watched = {one: self._ground.watch(one) for one in what}
        try:
            for future in watched.values():
                future.add_done_callback(lambda _: stirred.set())
            while True:
                stirred.clear()
                self._run.ensure_open()
                if (arrival := first_of(watched)) is not None:
                    return arrival
                left_ms = math.inf if until_ms is None else until_ms - self._run.now_ms()
                if left_ms <= 0:
                    return first_found(what, self._ground.look(what))
                waited_ms = (clock.monotonic() - begun) * 1000
                if waited_ms >= self._ground.patience_ms() and left_ms > self._ground.park_after_ms():
                    self._park([Wait.of(place, one, until_ms) for one in what])
                stirred.wait(min(left_ms, self._ground.park_after_ms() / LOOKS_BEFORE_PARKING + 1) / 1000)
        finally:
            self._stirred = None
            for one, future in watched.items():
                self._ground.abandon(one, future)

    def _park(self, parked: list[Wait]) -> NoReturn:
        self._run.ensure_open()
        self._run.close(Verdict.PARKED)
        self.drive(park(self._run, parked))
        raise Unwind(Verdict.PARKED.name)


class AwaitingDriver:
    """Drives the routines of an async run on its loop."""

    def __init__(self, run: Run, ground: Ground, turns: Turns, unwind: Callable[[], None]) -> None:
        self._run, self._ground, self._turns, self._unwind = run, ground, turns, unwind
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()

    async def operate(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Any:
        """Carry an operation's routine through and, when it is its turn, return its value or raise its error.

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
            is_due = isinstance(end, Raised) and not isinstance(end.error, Exception)
            if not is_due and not self._turns.end(turn, is_cut=isinstance(end, Cut)):
                await self._turns.hand_over(turn)
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
        match end:
            case Returned():
                return end.value
            case Raised():
                raise end.error
            case Cut():
                raise asyncio.CancelledError

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
                case Commit():
                    reply = await self._commit(effect.write, turn)
                case Call():
                    reply = await self._call(effect.body, turn, is_async=effect.is_async)
                case Pause(seconds):
                    reply = await self._unless_cut(asyncio.sleep(seconds), turn)
                case Sleep(_, until_ms):
                    if turn is None:
                        raise TypeError("only an operation of the body waits")
                    is_cut = await self._turns.sleep_until(turn, until_ms)
                    reply = Cut() if is_cut else None
                case Await(_, what, until_ms):
                    if turn is None:
                        raise TypeError("only an operation of the body waits")
                    reply = await self._await(turn, what, until_ms)
                case Transact():
                    if turn is None:
                        raise TypeError("only an operation of the body is a transaction")
                    reply = await self._transact(effect, turn)

    async def _await(self, turn: Turn, what: tuple[Awaited, ...], until_ms: int | None) -> Arrival | Cut | None:
        watched = {one: self._ground.watch(one) for one in what}
        stirred: asyncio.Future[None] = self._loop.create_future()
        timer = None
        if until_ms is not None:
            left_ms = max(0, until_ms - self._run.now_ms())
            timer = self._loop.call_later(left_ms / 1000, _stir, stirred)
        try:
            for future in watched.values():
                future.add_done_callback(lambda _: self._stir_from_afar(stirred))
            if await self._turns.wait(turn, stirred, [Wait.of(turn.place, one, until_ms) for one in what]):
                return Cut()
            if (arrival := first_of(watched)) is not None:
                return arrival
        finally:
            if timer is not None:
                timer.cancel()
            for one, future in watched.items():
                self._ground.abandon(one, future)
        ended = await self._unless_cut(self._ground.in_thread(lambda: self._ground.look(what)), turn)
        if isinstance(ended, Cut):
            return ended
        if isinstance(ended, Raised):
            raise ended.error
        return first_found(what, ended.value)

    def _stir_from_afar(self, stirred: asyncio.Future[None]) -> None:
        # The loop is gone when the engine is closed, and then nobody waits there any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_stir, stirred)

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
        if turn is not None and (not_before_ms := _not_before_ms(write)) is not None:
            self._turns.commits(turn, not_before_ms)
        self._ground.journal.submit(write, ticket)
        while True:
            try:
                outcome = await ticket.future
            except asyncio.CancelledError:
                if turn is None or self._run.is_closed():
                    raise
                turn.is_cancelled = True
                ticket.renew()
            else:
                if turn is not None and isinstance(outcome, Nothing):
                    self._turns.takes_back(turn)
                return outcome

    async def _transact(self, effect: Transact, turn: Turn) -> Any:
        asker = LoopAsker(effect.asker, self._loop, self._turns, turn)
        begun = await self._unless_cut(self._begin(partial(self._ground.transact, effect, asker)), turn)
        if isinstance(begun, Cut):
            return begun
        while not begun.done():
            try:
                await asyncio.shield(begun)
            except asyncio.CancelledError:
                # A thread is not stopped, and its record stands or it does not: the cancellation is late.
                if self._run.is_closed():
                    raise
                turn.is_cancelled = True
        match begun.result():
            case Returned(answer):
                return answer
            case Raised(error):
                raise error
            case unwinding:
                raise unwinding

    async def _begin(self, body: Any) -> asyncio.Future[Ended | BaseException]:
        if not self._ground.trusted():
            await self._await_trust()
        return await self._ground.begin_in_thread(body)

    async def _await_trust(self) -> None:
        while not self._ground.trusted():
            await asyncio.sleep(DISTRUST_PAUSE_SECONDS)
            self._run.ensure_open()

    async def _call(self, body: Any, turn: Turn | None, *, is_async: bool) -> StepEnd:
        try:
            if not self._ground.trusted():
                await self._await_trust()
            if is_async:
                return await acall(body)
            ended = await self._ground.in_thread(body)
            if isinstance(ended, Returned) and inspect.isawaitable(ended.value):
                return await acall(lambda: ended.value)
        except asyncio.CancelledError:
            # As in `_unless_cut`, without a coroutine more: this is the way of every step.
            if turn is None or self._run.is_closed():
                raise
            turn.is_cancelled = True
            return Cut()
        return ended


def _not_before_ms(write: RunWrite) -> int | None:
    """Return the time before which no record of *write* is complete; None for what moves no operation on."""
    if isinstance(write, RecordSleep):
        return write.not_before_ms if write.name == SLEEP_NAME else None
    # Each record says when it was complete, and what ends or parks a run says nothing.
    return getattr(write, "completed_at_ms", None)


def first_of(watched: Mapping[Awaited, Future[Found]]) -> Arrival | None:
    """Return the first of what is watched that has come. Raises `ProviderUnavailable` when nobody looks any more."""
    for awaited, future in watched.items():
        if future.done():
            return Arrival(awaited, future.result())
    return None


def first_found(what: Sequence[Awaited], found: Mapping[Awaited, Found]) -> Arrival | None:
    """Return the first of *what* that was found."""
    return next((Arrival(one, found[one]) for one in what if one in found), None)


def _stir(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


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
