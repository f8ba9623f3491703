"""Runs claimed workflows: sync ones in threads, async ones as tasks, each to its end or its unwinding."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from durust import clock
from durust.codec import PICKLE, Codec
from durust.engine.current import CURRENT, Activity
from durust.engine.deadlines import Deadlines
from durust.engine.drive import AwaitingDriver, BlockingDriver, acall, call
from durust.engine.journal import Journal
from durust.engine.loops import Loop
from durust.engine.registry import Definition
from durust.engine.slots import Slots
from durust.engine.threads import ThreadPool
from durust.engine.ticket import ThreadTicket
from durust.engine.timers import GOVERNOR
from durust.engine.transactor import Transactor
from durust.engine.turns import Turns
from durust.engine.vitals import Tally
from durust.engine.watcher import Watcher
from durust.errors import DurustError, MaxRecoveryAttemptsExceeded, ProviderUnavailable
from durust.failpoints import failpoint
from durust.model.claims import Claimed
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.waits import Awaited, Found
from durust.model.writes import AssumeRole, EndGrants, FinishWorkflow, Wait
from durust.routines.effects import Ended, Raised, Returned, Routine, Transact
from durust.routines.lifecycle import conclude, park, run_out, set_aside
from durust.routines.run import Run, Verdict
from durust.settings import Settings
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# A body that swallows its cancellation is cancelled again this often, this far apart; then it is left to itself.
CANCELS_MAX = 20
CANCEL_PAUSE_SECONDS = 0.1
# Where every slot is taken a wait for others keeps its own for this part of the usual time: what it waits for may be
# waiting for a slot itself, and where it comes within moments parking would cost more.
CROWDED_PART = 0.1

Conclusion = Routine[FinishWorkflow | None]


class Contexts(Protocol):
    """Makes the object that a workflow's body is given."""

    def __call__(self, run: Run, driver: BlockingDriver | AwaitingDriver, codec: Codec) -> Any:
        """Return a context of the colour of *driver*."""


class Execution:
    """One run with what carries it."""

    def __init__(self, claimed: Claimed, definition: Definition, codec: Codec) -> None:
        self.claimed, self.definition, self.codec = claimed, definition, codec
        # The row has one column for the form of its inputs and of its outcome, so the outcome follows the inputs.
        is_fitting = codec.serializer == "json" or claimed.serialization == PICKLE
        self.outcome_codec = codec if is_fitting else replace(codec, serializer="json")
        begun = clock.monotonic()
        self.run = Run(claimed, lambda: int((clock.monotonic() - begun) * 1000))
        self.blocking: BlockingDriver | None = None
        self.turns: Turns | None = None
        self.main: asyncio.Task[Any] | None = None
        self.in_body = False
        self.is_unwinding = False
        self.ended = threading.Event()
        self._beginning = threading.Lock()

    def begin(self) -> bool:
        """Take it over; False when it was given up before, or taken over already."""
        return self._beginning.acquire(blocking=False)


class Runner:
    """Starts executions and keeps the list of what runs here, which the owner audit compares with the database."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        slots: Slots,
        loop: Loop,
        trusted: Callable[[], bool],
        contexts: Contexts,
        provider: StateProvider,
        watcher: Watcher,
        tally: Tally,
    ) -> None:
        self.journal = journal
        self.trusted = trusted
        self._transactor = Transactor(provider, tally)
        self._settings, self._slots, self._loop = settings, slots, loop
        self._contexts, self._tally = contexts, tally
        self._provider, self._watcher = provider, watcher
        self._pool = ThreadPool()
        self._mutex = threading.Lock()
        self._held: set[str] = set()
        self._executions: dict[str, Execution] = {}
        self._bodies: Counter[str] = Counter()
        """By claim: how many step bodies of async runs are in a thread."""
        self._left_over: dict[str, Execution] = {}
        """By claim: runs that ended without a write while a step of theirs could not be interrupted."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step_gates: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
        self._park_at_once = False
        self._is_closed = False
        self.deadlines = Deadlines(journal, self._close_lease)

    # What an engine asks for

    def codec(self, definition: Definition | None, serializer: str | None = None) -> Codec:
        """Return how values of a workflow are written."""
        chosen = serializer or (definition.serializer if definition else None) or self._settings.serializer
        return Codec(serializer=chosen, value_bytes_max=self._settings.value_bytes_max)

    def reserve(self, token: str) -> None:
        """Enter a claim that is about to be made, so that the audit does not take it for a stranded one."""
        with self._mutex:
            self._held.add(token)

    def forget(self, token: str) -> None:
        """Take back a reservation that came to nothing."""
        with self._mutex:
            self._held.discard(token)

    def holds(self, token: str) -> bool:
        """Tell whether that claim runs here, or is about to."""
        return token in self._held

    def start(self, claimed: Claimed, definition: Definition) -> None:
        """Run a claimed workflow; its slot is taken already, and given back when this raises.

        Its context variables are empty: a run that another process resumes has none of its starter's either.
        """
        execution = Execution(claimed, definition, self.codec(definition))
        with self._mutex:
            self._held.add(claimed.lease.token)
            self._executions[claimed.lease.token] = execution
            is_closed = self._is_closed
        try:
            failpoint("run.claimed")
            if is_closed:
                raise ProviderUnavailable("the engine", "it was closed while a workflow was started")
            if claimed.left_ms is not None and claimed.left_ms > 0:
                self.deadlines.watch(claimed.lease, claimed.left_ms / 1000)
            if definition.is_async:
                # Another process goes on from there: no step was cut short by its own body.
                wound_up = partial(execution.run.close, Verdict.HANDED_BACK)
                self._loop.spawn(self._run_async, execution, keep=self._tasks, wound_up=wound_up)
            else:
                context = contextvars.Context()
                self._pool.run(lambda: context.run(self._run_sync, execution))
        except BaseException:
            # Whoever interrupts its starter may do so when its own thread has it already.
            if execution.begin():
                self._end(execution, None)
            raise

    def note_shares(self, tokens: Iterable[str]) -> None:
        """Take in that those claims hold shares of their queue's budget, which their runs have to end."""
        for token in tokens:
            execution = self._executions.get(token)
            if execution is not None and not execution.run.lease.has_grant:
                execution.run.lease = replace(execution.run.lease, has_grant=True)

    def running(self) -> list[Execution]:
        """Return what runs now."""
        with self._mutex:
            return list(self._executions.values())

    def close(self) -> None:
        """Start nothing any more, and let the threads go."""
        with self._mutex:
            self._is_closed = True
        self._pool.close()

    def park_at_once(self) -> None:
        """From now on every wait parks at once, however short it is; those under way for others are asked anew."""
        self._park_at_once = True
        for execution in self.running():
            if execution.blocking is not None:
                execution.blocking.stir()
            elif execution.turns is not None:
                self._loop.call(execution.turns.look)

    def close_run(self, execution: Execution, verdict: Verdict) -> None:
        """Close a run from outside and wake its body. May be called from any thread."""
        execution.run.close(verdict)
        if execution.blocking is not None:
            execution.blocking.interrupt()
        else:
            self._loop.call(self._unwind, execution)

    def time_of(self, token: str) -> int | None:
        """Return the time of the run that holds that claim, by the database's clock; None when it does not run here."""
        execution = self._executions.get(token)
        return None if execution is None else execution.run.now_ms()

    def runs(self, workflow_id: str) -> bool:
        """Tell whether a run of that workflow is here."""
        return any(execution.run.workflow_id == workflow_id for execution in self.running())

    def _close_lease(self, lease: Lease, verdict: Verdict) -> None:
        execution = self._executions.get(lease.token)
        if execution is not None:
            self.close_run(execution, verdict)

    # The ground that drivers stand on

    def park_after_ms(self) -> float:
        """Return how long a wait may keep its stack."""
        return 0.0 if self._park_at_once else self._settings.park_after_seconds * 1000

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
            self._count_body(token, -1)
            self._loop.call(settle, ended)

        await gate.acquire()
        self._count_body(token, 1)
        try:
            self._pool.run(work)
        except BaseException:
            self._count_body(token, -1)
            gate.release()
            raise
        return answer

    def _count_body(self, token: str, change: int) -> None:
        """Count a step body that begins or stops; with the last one goes what its run has left over."""
        with self._mutex:
            self._bodies[token] += change
            left_over = None
            if not self._bodies[token]:
                del self._bodies[token]
                left_over = self._left_over.pop(token, None)
        if left_over is not None:
            self._release(left_over)

    # Sync runs

    def _run_sync(self, execution: Execution) -> None:
        if not execution.begin():
            return
        driver = execution.blocking = BlockingDriver(execution.run, self)
        written: FinishWorkflow | None = None
        try:
            ready = self._prepare(execution)
            if isinstance(ready, tuple):
                arguments, named = ready
                context = self._contexts(execution.run, driver, execution.codec)
                CURRENT.set(Activity(execution.run, context))
                ended = call_body(execution.definition.fn, context, arguments, named)
                written = driver.drive(self._conclusion(execution, ended))
            else:
                written = driver.drive(ready)
        except DurustError as error:
            emit("run_left_behind", workflow=execution.run.workflow_id, reason=str(error))
        finally:
            self._end(execution, written)

    # Async runs

    async def _run_async(self, execution: Execution) -> None:
        if not execution.begin():
            return
        run = execution.run
        execution.main = asyncio.current_task()
        turns = execution.turns = Turns(
            run,
            self._loop.stillness,
            lambda waits: self._park(execution, driver, waits),
            self.park_after_ms,
            self.patience_ms,
        )
        driver = AwaitingDriver(run, self, turns, lambda: self._unwind(execution))
        written: FinishWorkflow | None = None
        try:
            ready = self._prepare(execution)
            if isinstance(ready, tuple):
                ended = await self._run_body(execution, driver, turns, *ready)
                written = await driver.drive(self._conclusion(execution, ended))
            else:
                written = await driver.drive(ready)
        except DurustError as error:
            emit("run_left_behind", workflow=run.workflow_id, reason=str(error))
        finally:
            self._end(execution, written)

    async def _run_body(
        self, execution: Execution, driver: AwaitingDriver, turns: Turns, arguments: Any, named: Any
    ) -> Ended:
        context = self._contexts(execution.run, driver, execution.codec)
        CURRENT.set(Activity(execution.run, context))
        GOVERNOR.set(turns)
        ended: Ended
        execution.in_body = True
        try:
            ended = Returned(await execution.definition.fn(context, *arguments, **named))
        except BaseException as error:  # noqa: BLE001  how the body ends is a value; the run's mark tells what it means
            ended = Raised(error)
        GOVERNOR.set(None)
        execution.in_body = False
        main = execution.main
        if main is None or main.get_loop().is_closed():
            # The body outlived its loop and the collector has closed it: nothing can be awaited any more.
            raise GeneratorExit
        if main.cancelling():
            if isinstance(ended, Raised) and self._loop.is_ending():
                # Another process goes on from here.
                execution.run.close(Verdict.HANDED_BACK)
            await _shake_off(main)
        left = turns.tasks() - {main}
        if left:
            # Tasks that the body left behind: no operation of theirs may be recorded after its end.
            execution.run.close(Verdict.FINISHED)
            for task in left:
                task.cancel()
        return ended

    def _park(self, execution: Execution, driver: AwaitingDriver, waits: list[Wait]) -> None:
        if execution.run.verdict is not None or not execution.in_body:
            return
        execution.run.close(Verdict.PARKED)

        async def set_aside_and_unwind() -> None:
            try:
                await driver.drive(park(execution.run, waits))
            except DurustError as error:
                # Its row is ours still, until the audit sees that nobody runs it.
                emit("run_left_behind", workflow=execution.run.workflow_id, reason=str(error))
            finally:
                self._unwind(execution)

        self._loop.spawn(set_aside_and_unwind, keep=self._tasks)

    def _unwind(self, execution: Execution) -> None:
        """Begin to cancel what a closed run still does. Called on the loop."""
        if not execution.is_unwinding:
            execution.is_unwinding = True
            if execution.turns is not None:
                execution.turns.release_timers()
            # Not at once: a task that cancels itself hears of it at its next wait, which may be after its end.
            asyncio.get_running_loop().call_soon(self._cancel, execution, CANCELS_MAX)

    def _cancel(self, execution: Execution, left: int) -> None:
        """Cancel what a closed run still does, again and again while its body swallows that."""
        if execution.ended.is_set() or execution.main is None or not execution.in_body:
            return
        if left == 0:
            emit("run_will_not_unwind", workflow=execution.run.workflow_id)
            return
        tasks = execution.turns.tasks() if execution.turns is not None else set()
        for task in tasks | {execution.main}:
            task.cancel()
        execution.main.get_loop().call_later(CANCEL_PAUSE_SECONDS, self._cancel, execution, left - 1)

    # Both colours

    def _prepare(self, execution: Execution) -> tuple[Any, Any] | Conclusion:
        """Return the arguments for the body, or the routine that ends a run which cannot start."""
        claimed, definition, codec = execution.claimed, execution.definition, execution.outcome_codec
        if claimed.left_ms is not None and claimed.left_ms <= 0:
            return run_out(execution.run)
        if claimed.attempts > definition.max_recovery_attempts + 1:
            exceeded = MaxRecoveryAttemptsExceeded(claimed.lease.workflow_id, claimed.attempts - 1)
            return set_aside(execution.run, codec, exceeded, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED)
        try:
            self._admit(execution)
            arguments, named = execution.codec.load_arguments(claimed.inputs, claimed.serialization, definition.shape)
            definition.shape.bind(arguments, named)
        except Exception as error:  # noqa: BLE001  arguments from the database, rebuilt by classes of the user's
            return set_aside(execution.run, codec, error, Status.ERROR)
        return arguments, named

    def _admit(self, execution: Execution) -> None:
        """Let the run in by its role, each time anew. Raises `NotAuthorized`."""
        run = execution.run
        role = execution.definition.admit(run.authenticated_user, run.authenticated_roles)
        if role is not None and role != run.assumed_role:
            # Nobody waits for it: whoever claims the run again notes the same.
            self.journal.submit(AssumeRole(run.lease, role), ThreadTicket())
            run.assumed_role = role

    def _conclusion(self, execution: Execution, ended: Ended) -> Conclusion:
        return conclude(execution.run, ended, execution.outcome_codec, execution.definition.shape.result)

    def _end(self, execution: Execution, written: FinishWorkflow | None) -> None:
        """Give back what the run held. Never raises."""
        if execution.turns is not None:
            execution.turns.close()
        token = execution.run.lease.token
        self.deadlines.forget(execution.run.lease)
        with self._mutex:
            self._executions.pop(token, None)
            is_left_over = written is None and token in self._bodies
            if is_left_over:
                # Its body is told to stop, and a thread of it cannot be: what it takes of its queue is not free yet.
                self._left_over[token] = execution
        execution.ended.set()
        if not is_left_over:
            self._release(execution, written)
        if written is not None:
            succeeded = written.status is Status.SUCCESS
            self._tally.count(done=int(succeeded), failed=int(not succeeded))

    def _release(self, execution: Execution, written: FinishWorkflow | None = None) -> None:
        """Give back the claim's share and slot, now that the body has really stopped."""
        token = execution.run.lease.token
        with self._mutex:
            self._held.discard(token)
        if execution.run.lease.has_grant and written is None:
            # Where a write of its own has ended the share already, this does nothing.
            self.journal.submit(EndGrants((token,)), ThreadTicket())
        self._slots.give_back(execution.claimed.queue)


def call_body(fn: Callable[..., Any], context: Any, arguments: Any, named: Any) -> Ended:
    """Run a sync workflow's body and return its end as a value; the run's mark tells what it means."""
    try:
        return Returned(fn(context, *arguments, **named))
    except BaseException as error:  # noqa: BLE001  Unwind included: the driver judges by the mark
        return Raised(error)


async def _shake_off(task: asyncio.Task[Any]) -> None:
    """Forget the cancellations of the current task, one that is still to be thrown included."""
    while task.cancelling():
        task.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
