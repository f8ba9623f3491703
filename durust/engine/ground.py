"""What the drivers of an engine's runs stand on: waits, transactions, and bodies carried over to the other colour."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from durust.engine.current import CURRENT
from durust.engine.drive import acall, call
from durust.engine.execution import Execution
from durust.engine.journal import Journal
from durust.engine.loops import Loop
from durust.engine.roster import Roster
from durust.engine.slots import Slots
from durust.engine.threads import ThreadPool
from durust.engine.transactor import Transactor
from durust.engine.watcher import Watcher
from durust.model.waits import Awaited, Found
from durust.routines.effects import Ended, Transact
from durust.routines.run import Verdict
from durust.settings import Settings
from durust.storage.provider import StateProvider

# Where every slot is taken a wait for others keeps its own for this part of the usual time: what it waits for may be
# waiting for a slot itself, and where it comes within moments parking would cost more.
CROWDED_PART = 0.1


class EngineGround:
    """The ground of all runs of one engine."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        slots: Slots,
        loop: Loop,
        trusted: Callable[[], bool],
        provider: StateProvider,
        watcher: Watcher,
        transactor: Transactor,
        pool: ThreadPool,
        roster: Roster,
        release: Callable[[Execution], None],
    ) -> None:
        self.journal = journal
        self.trusted = trusted
        self._settings, self._slots, self._loop, self._pool = settings, slots, loop, pool
        self._provider, self._watcher, self._transactor = provider, watcher, transactor
        self._roster, self._release = roster, release
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step_gates: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
        self._parks_at_once = False

    def park_at_once(self) -> None:
        """From now on every wait parks at once, however short it is."""
        self._parks_at_once = True

    def park_after_ms(self) -> float:
        """Return how long a wait may keep its stack."""
        return 0.0 if self._parks_at_once else self._settings.park_after_seconds * 1000

    def patience_ms(self) -> float:
        """Return how long a wait for what others do may keep its slot before it parks: less where none is free."""
        return self.park_after_ms() * (CROWDED_PART if self._slots.are_all_taken() else 1)

    def watch(self, awaited: Awaited) -> Future[Found]:
        """Return a future of what there is of *awaited* once it has come."""
        return self._watcher.watch(awaited)

    def abandon(self, awaited: Awaited, future: Future[Found]) -> None:
        """Stop watching."""
        self._watcher.abandon(awaited, future)

    def look(self, what: Sequence[Awaited]) -> Mapping[Awaited, Found]:
        """Return what there is of *what* now. Blocks."""
        return self._provider.values(what)

    def on_loop(self, body: Any) -> Future[Ended]:
        """Start an async body on the loop, in a copy of the caller's context."""
        context = contextvars.copy_context()
        answer: Future[Ended] = Future()
        activity = CURRENT.get()

        def wound_up() -> None:
            if activity is not None:
                activity.run.close(Verdict.HANDED_BACK)
            answer.cancel()

        def begin() -> None:
            task = self._loop.make_task(acall(body), contextvars.copy_context(), wound_up)
            self._tasks.add(task)
            task.add_done_callback(end)
            answer.add_done_callback(lambda _: self._loop.call(task.cancel))

        def end(task: asyncio.Task[Ended]) -> None:
            self._tasks.discard(task)
            # The waiting thread may cancel the answer at any moment.
            with suppress(InvalidStateError):
                if task.cancelled():
                    answer.cancel()
                elif (error := task.exception()) is not None:
                    answer.set_exception(error)
                else:
                    answer.set_result(task.result())

        try:
            self._loop.loop.call_soon_threadsafe(begin, context=context)
        except RuntimeError:
            # The loop was closed by its owner, and this thread goes on.
            wound_up()
        return answer

    def transact(self, effect: Transact, asker: Any) -> Any:
        """Carry a transaction through in this thread."""
        return self._transactor.transact(effect, asker)

    async def in_thread(self, body: Any) -> Ended:
        """Run a sync body in a pool thread, in a copy of the caller's context; at most as many as there are slots."""
        ended = await (await self.begin_in_thread(body))
        if isinstance(ended, BaseException):
            raise ended
        return ended

    async def begin_in_thread(self, body: Any) -> asyncio.Future[Ended | BaseException]:
        """Run a sync body in such a thread, and return as soon as it has begun."""
        loop = asyncio.get_running_loop()
        gate = self._step_gates.setdefault(loop, asyncio.Semaphore(self._slots.size))
        answer: asyncio.Future[Ended | BaseException] = loop.create_future()
        context = contextvars.copy_context()

        def settle(ended: Ended | BaseException) -> None:
            # The thread is free now, and not when the coroutine stopped waiting for it.
            gate.release()
            if not answer.done():
                answer.set_result(ended)

        activity = CURRENT.get()
        token = activity.run.lease.token if activity is not None else ""

        def work() -> None:
            ended: Ended | BaseException
            try:
                ended = context.run(call, body)
            except BaseException as unwinding:  # noqa: BLE001  carried over to the coroutine, which raises it
                ended = unwinding
            self._end_body(token)
            self._loop.call(settle, ended)

        await gate.acquire()
        self._roster.begin_body(token)
        try:
            self._pool.run(work)
        except BaseException:
            # No thread took it, whatever the reason: it is counted no longer, and the reason goes on to the caller.
            self._end_body(token)
            gate.release()
            raise
        return answer

    def _end_body(self, token: str) -> None:
        if (left_over := self._roster.end_body(token)) is not None:
            self._release(left_over)
