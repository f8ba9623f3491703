"""Runs claimed workflows: sync ones in threads, async ones as tasks, each to its end or its unwinding."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from durust.codec import Codec
from durust.engine.current import CURRENT, Activity
from durust.engine.deadlines import Deadlines
from durust.engine.drive import AwaitingDriver, BlockingDriver
from durust.engine.execution import Execution
from durust.engine.ground import EngineGround
from durust.engine.journal import Journal
from durust.engine.loops import Loop
from durust.engine.registry import Definition
from durust.engine.roster import Roster
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
from durust.model.writes import AssumeRole, EndGrants, FinishWorkflow, Wait
from durust.routines.effects import Ended, Raised, Returned, Routine
from durust.routines.lifecycle import conclude, park, run_out, set_aside
from durust.routines.run import Run, Verdict
from durust.settings import Settings
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# A body that swallows its cancellation is cancelled again this often, this far apart; then it is left to itself.
CANCELS_MAX = 20
CANCEL_PAUSE_SECONDS = 0.1
Conclusion = Routine[FinishWorkflow | None]


class Contexts(Protocol):
    """Makes the object that a workflow's body is given."""

    def __call__(self, run: Run, driver: BlockingDriver | AwaitingDriver, codec: Codec) -> Any:
        """Return a context of the colour of *driver*."""


class Runner:
    """Starts executions and carries each through; what runs is in its roster."""

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
        self._settings, self._slots, self._loop = settings, slots, loop
        self._journal, self._contexts, self._tally = journal, contexts, tally
        self._pool = ThreadPool()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.roster = Roster()
        self.ground = EngineGround(
            settings=settings,
            journal=journal,
            slots=slots,
            loop=loop,
            trusted=trusted,
            provider=provider,
            watcher=watcher,
            transactor=Transactor(provider, tally),
            pool=self._pool,
            roster=self.roster,
            release=self._release,
        )
        self.deadlines = Deadlines(journal, self._close_lease)

    # What an engine asks for

    def codec(self, definition: Definition | None, serializer: str | None = None) -> Codec:
        """Return how values of a workflow are written."""
        chosen = serializer or (definition.serializer if definition else None) or self._settings.serializer
        return Codec(serializer=chosen, value_bytes_max=self._settings.value_bytes_max)

    def start(self, claimed: Claimed, definition: Definition) -> None:
        """Run a claimed workflow; its slot is taken already, and given back when this raises.

        Its context variables are empty: a run that another process resumes has none of its starter's either.
        """
        execution = Execution(claimed, definition, self.codec(definition))
        is_open = self.roster.enter(execution)
        try:
            failpoint("run.claimed")
            if not is_open:
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

    def close(self) -> None:
        """Start nothing any more, and let the threads go."""
        self.roster.close()
        self._pool.close()

    def park_at_once(self) -> None:
        """From now on every wait parks at once, however short it is; those under way for others are asked anew."""
        self.ground.park_at_once()
        for execution in self.roster.running():
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
        execution = self.roster.of(token)
        return None if execution is None else execution.run.now_ms()

    def runs(self, workflow_id: str) -> bool:
        """Tell whether a run of that workflow is here."""
        return any(execution.run.workflow_id == workflow_id for execution in self.roster.running())

    def _close_lease(self, lease: Lease, verdict: Verdict) -> None:
        execution = self.roster.of(lease.token)
        if execution is not None:
            self.close_run(execution, verdict)

    # Sync runs

    def _run_sync(self, execution: Execution) -> None:
        if not execution.begin():
            return
        driver = execution.blocking = BlockingDriver(execution.run, self.ground)
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
            self.ground.park_after_ms,
            self.ground.patience_ms,
        )
        driver = AwaitingDriver(run, self.ground, turns, lambda: self._unwind(execution))
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
            self._journal.submit(AssumeRole(run.lease, role), ThreadTicket())
            run.assumed_role = role

    def _conclusion(self, execution: Execution, ended: Ended) -> Conclusion:
        return conclude(execution.run, ended, execution.outcome_codec, execution.definition.shape.result)

    def _end(self, execution: Execution, written: FinishWorkflow | None) -> None:
        """Give back what the run held. Never raises."""
        if execution.turns is not None:
            execution.turns.close()
        self.deadlines.forget(execution.run.lease)
        is_left_over = self.roster.end(execution, is_written=written is not None)
        execution.ended.set()
        # Where a body was told to stop and a thread of it cannot be, what it takes of its queue is not free yet.
        if not is_left_over:
            self._release(execution, written)
        if written is not None:
            succeeded = written.status is Status.SUCCESS
            self._tally.count(done=int(succeeded), failed=int(not succeeded))

    def _release(self, execution: Execution, written: FinishWorkflow | None = None) -> None:
        """Give back the claim's share and slot, now that the body has really stopped."""
        token = execution.run.lease.token
        self.roster.forget(token)
        if execution.run.lease.has_grant and written is None:
            # Where a write of its own has ended the share already, this does nothing.
            self._journal.submit(EndGrants((token,)), ThreadTicket())
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
