"""A workflow and the processes that run it, one after the other, in a time of their own: killed, parked, resumed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from durust import DurableContext, Settings, clock
from durust.context import make_context
from durust.engine import turns
from durust.engine.loops import Loop
from durust.engine.registry import Definition
from durust.engine.runner import Runner
from durust.engine.slots import Slots
from durust.engine.ticket import Ticket, deliver
from durust.engine.vitals import Tally
from durust.engine.watcher import Watcher
from durust.errors import ProviderUnavailable
from durust.model.filters import ListFilter, Scope, SweepRequest
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.model.writes import Outcome, Retire, Write
from durust.routines.run import Verdict
from durust.storage.memory import InMemoryProvider
from tests.conformance.builders import APP, NAME, QUEUE, commit, make_enqueued, register, want
from tests.simulation.programs import Act, Part
from tests.simulation.timeless import TimelessLoop

# A park is uncounted and a kill is bounded, so a life that goes on and on replays in circles.
EXECUTIONS_MAX = 200
KILLS_MAX = 6
# A kill comes somewhere in the length of a few steps.
KILL_SECONDS = 0.15
PARK_AFTER_SECONDS = 0.04
# Where simulated time starts, and how far the database's clock is set back or forth now and then.
EPOCH_MS = 1_800_000_000_000
SKEW_MS_MAX, SKEW_SHARE = 1000, 0.1
# A commit takes a millisecond or two; now and then the database is slow.
QUICK_SECONDS, SLOW_SECONDS, SLOW_SHARE = 0.002, 0.3, 0.1


class Disk:
    """Stands for the journal: commits what gathered, after a while, and answers a while later."""

    def __init__(self, provider: InMemoryProvider, loop: TimelessLoop, chance: random.Random) -> None:
        self._writer = provider.writer()
        self._loop, self._chance = loop, chance
        self._queue: list[tuple[Write, Ticket]] = []
        self._unanswered: list[Ticket] = []
        self._is_busy = False
        self.is_cut = False

    def is_full(self) -> bool:
        return False

    def submit(self, write: Write, ticket: Ticket) -> None:
        if self.is_cut:
            self._fail([ticket])
            return
        self._queue.append((write, ticket))
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_later(self._while(), self._commit)

    def cut(self) -> None:
        """From now on nothing gets through in either direction."""
        self.is_cut = True
        self._fail([*self._unanswered, *(ticket for _, ticket in self._queue)])

    def _fail(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.settle(ProviderUnavailable("the disk", "the process was killed"))
        deliver(tickets)

    def _while(self) -> float:
        return self._chance.random() * (SLOW_SECONDS if self._chance.random() < SLOW_SHARE else QUICK_SECONDS)

    def _commit(self) -> None:
        if self.is_cut:
            return
        batch, self._queue = self._queue, []
        self._unanswered = [ticket for _, ticket in batch]
        outcomes = self._writer.commit([write for write, _ in batch])
        self._loop.call_later(self._while(), self._answer, outcomes)

    def _answer(self, outcomes: list[Outcome]) -> None:
        if self.is_cut:
            return
        for ticket, outcome in zip(self._unanswered, outcomes, strict=True):
            ticket.settle(outcome)
        deliver(self._unanswered)
        self._is_busy = bool(self._queue)
        if self._is_busy:
            self._loop.call_later(self._while(), self._commit)


class Life:
    """One workflow from its start to its end."""

    def __init__(self, program: Part, seed: int) -> None:
        self._program = program
        self._chance = random.Random(seed)
        self._loop = TimelessLoop(random.Random(seed))
        # A gather that ends with an error leaves the errors of its other tasks to nobody.
        self._loop.set_exception_handler(lambda _loop, _fault: None)
        self._provider = InMemoryProvider()
        self._kills = self._skew_ms = 0
        self._acts: deque[Act] = deque(maxlen=1)
        self.faults: list[str] = []
        """What must not happen and did."""
        self.executions = 0

    def live(self) -> WorkflowRow:
        """Run the workflow to its end and return its row."""
        with self._in_its_time(), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            return runner.run(self._live())

    @contextmanager
    def _in_its_time(self) -> Iterator[None]:
        def emit(event: str, /, **facts: object) -> None:
            self.faults.append(f"{event} {facts}")

        with pytest.MonkeyPatch.context() as patch:
            for name in ("monotonic", "boottime"):
                patch.setattr(clock, name, lambda: self._loop.now)
            patch.setattr(clock, "now_ms", lambda: EPOCH_MS + self._skew_ms + int(self._loop.now * 1000))
            patch.setattr(turns, "emit", emit)
            yield

    async def _live(self) -> WorkflowRow:
        workflow_id = make_enqueued(self._provider, inputs='{"positionalArgs":[]}')
        while self.executions < EXECUTIONS_MAX:
            row = await self._claimable(workflow_id)
            if row.status.is_terminal:
                self._judge(row)
                return row
            self.executions += 1
            await self._execute(f"du:{self.executions}")
        raise AssertionError(f"no end after {EXECUTIONS_MAX} executions")

    async def _claimable(self, workflow_id: str) -> WorkflowRow:
        """Wait until the workflow is queued, or has ended."""
        query = ListFilter(workflow_ids=[workflow_id], load_output=True)
        [row] = self._provider.workflows(query)
        if row.status is Status.DELAYED:
            await asyncio.sleep(((row.delay_until_ms or 0) - clock.now_ms()) / 1000)
            self._provider.sweep(SweepRequest("nobody", Scope(APP, (NAME,)), reap=False))
            [row] = self._provider.workflows(query)
        return row

    async def _execute(self, executor_id: str) -> None:
        """Let a process run the workflow until it has ended, or parked, or the process is killed."""
        commit(self._provider, register(executor_id))
        disk = Disk(self._provider, self._loop, self._chance)
        freed = asyncio.Event()
        process = Runner(
            settings=Settings(park_after_seconds=PARK_AFTER_SECONDS),
            journal=disk,  # type: ignore[arg-type]  # it is what a runner needs of a journal
            slots=Slots(1, freed.set),
            loop=Loop(self._loop),
            trusted=lambda: True,
            contexts=make_context,
            provider=self._provider,
            watcher=Watcher(self._provider, 1.0),
            tally=Tally(),
        )
        [claimed] = self._provider.claim(want(executor_id, QUEUE, names=(NAME,)))

        async def body(ctx: DurableContext) -> None:
            act = Act(ctx, lambda name: None if disk.is_cut else self._begin(claimed.lease.workflow_id, name))
            self._acts.append(act)
            await self._program.play(act)

        process.start(claimed, Definition(NAME, body))
        kill = None
        if self._kills < KILLS_MAX and self._chance.random() < 0.9:
            kill = self._loop.call_later(self._chance.random() * KILL_SECONDS, self._kill, process, disk)
        await freed.wait()
        if kill is not None:
            kill.cancel()
        commit(self._provider, Retire((executor_id,), "it ended"))

    def _kill(self, process: Runner, disk: Disk) -> None:
        """Let nothing that the process does count from now on, and unwind it."""
        self._kills += 1
        if self._chance.random() < SKEW_SHARE:
            self._skew_ms += self._chance.randint(-SKEW_MS_MAX, SKEW_MS_MAX)
        disk.cut()
        for execution in process.roster.running():
            process.close_run(execution, Verdict.FENCED)

    def _recorded(self, workflow_id: str) -> set[str]:
        return {record.name for record in self._provider.history([workflow_id])[workflow_id]}

    def _begin(self, workflow_id: str, name: str) -> None:
        if name in self._recorded(workflow_id):
            self.faults.append(f"step {name} ran again after its record")

    def _judge(self, row: WorkflowRow) -> None:
        if row.status is not Status.SUCCESS:
            self.faults.append(f"ended as {row.status}: {row.error}")
        [act] = self._acts
        steps = {name for name in self._recorded(row.workflow_id) if not name.startswith(("DBOS.", "durust."))}
        if steps - act.asked:
            self.faults.append(f"recorded, but the last execution never asked for it: {sorted(steps - act.asked)}")
