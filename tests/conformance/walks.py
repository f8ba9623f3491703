"""Random walks of two providers through the same operations, compared at each step."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from durust import clock
from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.filters import ExecutorQuery, ListFilter
from durust.model.message_writes import Letter, ReceiveMessage, RecordSend
from durust.model.publications import AppendStream, Closed, SetEvent
from durust.model.records import Checkpoint, Lease, WorkflowRow
from durust.model.status import Status
from durust.model.writes import (
    AdoptWorkflows,
    AssumeRole,
    Beat,
    CancelWorkflow,
    DeleteQueue,
    Diverged,
    DrainExecutor,
    Duplicate,
    EndGrants,
    Existing,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    HistoryLost,
    Missing,
    Nothing,
    Outcome,
    ParkWorkflow,
    PauseQueue,
    PromoteVersion,
    Recorded,
    RecordSleep,
    RecordStep,
    Released,
    ResumeWorkflow,
    Retire,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Unexpired,
    Write,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    ANY_STATE,
    LONG_SECONDS,
    cancel,
    commit,
    delete,
    expire,
    finish,
    hand_back,
    lapse,
    letter,
    park,
    receive,
    record_send,
    record_sleep,
    record_step,
    register,
    resume,
    send,
    start,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite

BATCH_MAX = 8
MAIL_MAX = 3
QUEUES = ("one", "two")
NAMES = ("ship", "bill")


@dataclass
class Side:
    """One of the two providers, with what it calls the tokens that it made."""

    provider: StateProvider
    rewrite: Rewrite
    labels: dict[str, str] = field(default_factory=dict)
    answers: list[object] = field(default_factory=list)

    def label(self, token: str | None) -> str | None:
        return None if token is None else self.labels.get(token, token)


@dataclass
class Walk:
    """One random walk of both sides through the same operations."""

    OPERATIONS: ClassVar[int] = 30
    MARKS_MAX: ClassVar[int] = 2

    seed: int
    sides: tuple[Side, Side]
    leases: list[tuple[Lease, Lease]] = field(default_factory=list)
    executors: list[str] = field(default_factory=list)
    workflows: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed the walk; the seed is also the application, so that walks in one database do not meet."""
        self.random = random.Random(self.seed)
        # Apart, so that what else a walk does is not changed by its messages.
        self.postal = random.Random(-self.seed)
        self.marking = random.Random(f"attributes {self.seed}")
        self.app = f"app {self.seed}"

    def run(self) -> None:
        for _ in range(self.OPERATIONS):
            was_reading = self.random.choice(self.operations())()
            if not was_reading:
                self.compare("rows", *(self.state(side) for side in self.sides))
        retirement = Retire(tuple(self.executors), "the walk is over")
        for side in self.sides:
            commit(side.provider, retirement)

    def operations(self) -> list[Any]:
        return (
            [self.batch] * 5
            + [self.claim] * 4
            + [self.sweep] * 2
            + [self.lapse, self.pass_time, self.run_out, self.adopt, self.fork, self.remove, self.cascade]
        )

    def compare(self, what: str, model: object, tested: object) -> None:
        assert tested == model, f"{what} differ in walk {self.seed} after\n" + "\n".join(self.trace)

    def batch(self) -> None:
        made = [self.random.choice(self.writes())() for _ in range(self.random.randint(1, BATCH_MAX))]
        made += [self.postal.choice(self.mail())() for _ in range(self.postal.randint(0, MAIL_MAX)) if self.workflows]
        # Of writes that contend for one place, or for one row's end, which comes first is a provider's choice.
        firsts: dict[object, tuple[Write, Write]] = {}
        pairs = [
            pair for number, pair in enumerate(made) if firsts.setdefault(contended(pair[0], number), pair) is pair
        ]
        if self.random.random() < 0.2:
            again = pairs[: self.random.randint(1, len(pairs))]
            # A repeated drain may be judged before a retirement of its batch or after it; a repeated start, before an
            # end that frees its deduplication id or after it.
            pairs += [(replace(a), replace(b)) for a, b in again if not is_torn(a)]
        # Behind all others, so that these are the same with them and without.
        for number in range(self.marking.randint(0, self.MARKS_MAX)):
            mark = self.marking.choice(self.marks())()
            pairs += [mark] if firsts.setdefault(contended(mark[0], -1 - number), mark) is mark else []
        pairs = self.sift(pairs)
        self.trace.append(f"commit {[model for model, _ in pairs]}")
        moving = moved_by([write for write, _ in pairs])
        outcomes = [commit(side.provider, *(pair[number] for pair in pairs)) for number, side in enumerate(self.sides)]
        answers = [
            [
                self.plain(side, pair[number], outcome, is_moving=moving is ALL or bool(ids_of(pair[number]) & moving))
                for pair, outcome in zip(pairs, outcomes[number], strict=True)
            ]
            for number, side in enumerate(self.sides)
        ]
        self.compare("outcomes", *answers)
        self.forgive([pair[0] for pair, outcome in zip(pairs, outcomes[0], strict=True) if outcome != Recorded()])

    def sift(self, pairs: list[tuple[Write, Write]]) -> list[tuple[Write, Write]]:
        """Return those of a batch whose answers do not depend on what a provider does first."""
        return pairs

    def forgive(self, refused: list[Write]) -> None:
        """Let the reference do what a provider is free to do beside what it answered."""

    def writes(self) -> list[Any]:
        makers = [self.starting, self.registering, self.executor_write, self.delaying]
        if self.executors:
            makers += [self.starting_directly]
        if self.workflows:
            makers += [self.moving] * 2
        if self.leases:
            makers += [self.recording] * 5 + [self.bearing] * 2 + [self.ending] * 3 + [self.ending_a_grant]
        return makers

    def starting(self) -> tuple[Write, Write]:
        is_known = bool(self.workflows) and self.random.random() < 0.2
        # Numbered, so that those of one instant sort as they were made.
        workflow_id = self.random.choice(self.workflows) if is_known else f"{self.seed}-{len(self.workflows):04}"
        self.workflows += [] if is_known else [workflow_id]
        write = start(
            workflow_id,
            queue=self.random.choice((None, *self.queues())),
            name=self.random.choice(NAMES),
            priority=self.random.choice((0, 0, 1)),
            dedup_id=self.random.choice((None, None, None, f"x {self.seed}", f"y {self.seed}")),
            delay_seconds=self.random.choice((0.0, 0.0, 0.0, LONG_SECONDS)),
            app_name=self.random.choice((self.app, self.app, self.app, f"other {self.seed}")),
            app_version=self.random.choice((None, None, "v1", "v2")),
            partition_key=self.random.choice((None, "p", "q", "r")),
            creator=f"creator {self.random.randint(0, 2)}",
            timeout_ms=self.random.choice((None, None, 600_000_000)),
        )
        return write, write

    def delaying(self) -> tuple[Write, Write]:
        workflow_id = self.random.choice((*self.workflows, f"{self.seed}-nobody"))
        write = SetDelay(workflow_id, self.random.choice((0.0, 0.0, LONG_SECONDS)))
        return write, write

    def starting_directly(self) -> tuple[Write, Write]:
        workflow_id = f"{self.seed}-{len(self.workflows):04}"
        self.workflows.append(workflow_id)
        token = f"token of {workflow_id}"
        lease = Lease(workflow_id, self.random.choice(self.executors), token)
        self.leases.append((lease, lease))
        write = start(lease=lease, app_name=self.app, name=self.random.choice(NAMES))
        return write, write

    def registering(self) -> tuple[Write, Write]:
        is_new = len(self.executors) < 4
        name = f"du:{self.seed}-{len(self.executors)}" if is_new else self.random.choice(self.executors)
        self.executors += [name] if is_new else []
        write = register(name, app_name=self.app)
        return write, write

    def executor_write(self) -> tuple[Write, Write]:
        name = self.random.choice((*self.executors, "du:unknown"))
        write = self.random.choice(
            (
                Beat((name, "du:other"), LONG_SECONDS),
                Beat(tuple(self.executors), LONG_SECONDS),
                DrainExecutor(name),
                Retire((name, "du:other"), f"retired {self.random.randint(0, 9)}"),
                self.storing(),
                self.storing(),
                PauseQueue(self.random.choice(self.queues()), is_paused=self.random.random() < 0.3),
                DeleteQueue(self.random.choice(self.queues())),
                StoreVersion(
                    clock.ordered_id(),
                    self.app,
                    f"{self.app} {self.random.choice(('old', 'new'))}",
                    tuple((each, self.random.choice(("v1", "v2"))) for each in NAMES),
                    name,
                ),
                PromoteVersion(self.app, f"{self.app} old"),
            )
        )
        return write, write

    def storing(self) -> StoreQueue:
        rates = self.random.choice((None, None, 2, 4)), self.random.choice((None, None, 1, 2))
        return StoreQueue(
            self.random.choice(self.queues()),
            self.random.choice((None, None, 1, 2)),
            self.app,
            global_concurrency=self.random.choice((None, None, 1, 3)),
            rate_limit=rates[0],
            rate_period_seconds=rates[0] and LONG_SECONDS,
            partition_queue=self.random.random() < 0.5,
            partition_concurrency=self.random.choice((None, None, 1, 2)),
            partition_worker_concurrency=self.random.choice((None, None, 1)),
            partition_rate_limit=rates[1],
            partition_rate_period_seconds=rates[1] and LONG_SECONDS,
            keeps=self.random.random() < 0.2,
        )

    def ending_a_grant(self) -> tuple[Write, Write]:
        leases = self.random.choice(self.leases)
        return EndGrants((leases[0].token, "unknown")), EndGrants((leases[1].token, "unknown"))

    def moving(self) -> tuple[Write, Write]:
        workflow_id = self.random.choice((*self.workflows, f"{self.seed}-unknown"))
        write = self.random.choice((cancel, resume))(workflow_id)
        return write, write

    def recording(self) -> tuple[Write, Write]:
        place = self.random.randint(1, 4)
        after = self.random.choice((None, None, None, 1, 7))
        make = self.random.choice((record_step, record_step, record_sleep))
        # A sleep ends in an order that does not depend on when it was written; a step never chains to its own batch.
        fields: dict[str, Any] = (
            {"seconds": place * 1e5} if make is record_sleep else {"name": self.random.choice("ab")}
        )
        after = after if after == 7 else None
        return self.pair(lambda lease: make(lease, place, after=after, **fields))

    def mail(self) -> list[Any]:
        return [self.sending, *([self.sending_by_a_run, self.receiving] if self.leases else [])]

    def sending(self) -> tuple[Write, Write]:
        write = send(*self.letters())
        return write, write

    def sending_by_a_run(self) -> tuple[Write, Write]:
        letters, place = self.letters(), self.postal.randint(1, 4)
        return self.posted(lambda lease: record_send(lease, *letters, place=place))

    def letters(self) -> list[Letter]:
        targets = self.postal.choices((*self.workflows, f"{self.seed}-nobody"), k=self.postal.randint(1, 2))
        return [
            letter(
                target,
                f"{self.postal.randint(0, 99)}",
                topic=self.postal.choice("ab"),
                message_id=f"{self.seed} {target} {self.postal.randint(0, 9)}",
            )
            for target in targets
        ]

    def receiving(self) -> tuple[Write, Write]:
        # At places of their own, because of two in a batch the second may come after the batch's other writes.
        place, topic = self.postal.randint(10, 14), self.postal.choice("ab")
        is_timeout = self.postal.random() < 0.2
        return self.posted(lambda lease: receive(lease, place, topic=topic, is_timeout=is_timeout))

    def posted(self, make: Any) -> tuple[Write, Write]:
        leases = self.lease(self.postal)
        return make(leases[0]), make(leases[1])

    def bearing(self) -> tuple[Write, Write]:
        place = self.random.randint(1, 4)
        after = self.random.choice((None, None, None, 7))
        is_known = self.random.random() < 0.2
        child_id = self.random.choice(self.workflows) if is_known else f"{self.seed}-{len(self.workflows):04}"
        self.workflows += [] if is_known else [child_id]
        begun = start(
            child_id,
            queue=self.random.choice((None, *self.queues())),
            name=self.random.choice(NAMES),
            delay_seconds=self.random.choice((0.0, 0.0, LONG_SECONDS)),
            app_name=self.app,
            timeout_ms=self.random.choice((None, 600_000_000)),
            deadline_ms=self.random.choice((None, 9_000_000_000_000)),
        )
        return self.pair(lambda lease: StartChild(lease, after, place, begun, 1_000 + place, 2_000 + place))

    def marks(self) -> list[Any]:
        return [self.giving, *([self.giving_by_a_run, self.assuming] if self.leases else [])]

    def giving(self) -> tuple[Write, Write]:
        write = SetAttributes(self.marking.choice((*self.workflows, f"{self.seed}-nobody")), self.patch())
        return write, write

    def giving_by_a_run(self) -> tuple[Write, Write]:
        # At places of their own, because of two in a batch the second may come after the batch's other writes.
        place, patch = self.marking.randint(20, 24), self.patch()
        return self.marked(lambda lease: RecordAttributes(lease, None, place, patch, 1, 2))

    def assuming(self) -> tuple[Write, Write]:
        return self.marked(lambda lease: AssumeRole(lease, "admin"))

    def patch(self) -> str:
        names = self.marking.sample("abc", self.marking.randint(0, 2))
        return json.dumps({name: self.marking.choice((None, None, 1, "x", {"a": None})) for name in names})

    def marked(self, make: Any) -> tuple[Write, Write]:
        leases = self.lease(self.marking)
        return make(leases[0]), make(leases[1])

    def ending(self) -> tuple[Write, Write]:
        after = self.random.choice((None, None, None, 7))
        until = self.random.choice((1, 9_000_000_000_000))
        status = self.random.choice((Status.SUCCESS, Status.ERROR, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED))
        make = self.random.choice(
            (
                lambda lease: finish(lease, status, after=after),
                lambda lease: park(lease, after=after, until_ms=until),
                hand_back,
                expire,
            )
        )
        return self.pair(make)

    def lease(self, chance: random.Random) -> tuple[Lease, Lease]:
        """Return one of all that were ever granted, as each side knows it."""
        return chance.choice(self.leases)

    def pair(self, make: Any) -> tuple[Write, Write]:
        leases = self.lease(self.random)
        if self.random.random() < 0.1:
            leases = (replace(leases[0], executor_id="du:x"), replace(leases[1], executor_id="du:x"))
        return make(leases[0]), make(leases[1])

    def claim(self) -> None:
        if not self.executors:
            return
        by = self.random.choice(self.executors)
        queues = self.random.choice((self.queues(), self.queues()[:1], ("_dbos_internal_queue",)))
        names, versions = self.random.choice(((NAMES, ("v1", "v2")), (NAMES[:1], ("v1",))))
        # The queues' own limits decide, because which queue comes first is a provider's choice.
        request = want(by, *queues, each=self.random.randint(1, 3), names=names, versions=versions, app=self.app)
        running = self.random.randint(0, 1)
        request = replace(
            request,
            queues=tuple(replace(queue, running=running) for queue in request.queues),
            budgeted_first=self.first(self.random.choice(((), queues))),
        )
        self.trace.append(f"claim {request}")
        answers = [side.provider.claim(request) for side in self.sides]
        model, tested = ({claimed.lease.workflow_id: claimed for claimed in claims} for claims in answers)
        self.compare("waits", *(claims.again_seconds is None for claims in answers))
        self.compare("claims", sorted(model), sorted(tested))
        for workflow_id in model:
            granted = model[workflow_id], tested[workflow_id]
            for side, claimed in zip(self.sides, granted, strict=True):
                side.labels[claimed.lease.token] = f"claim {len(self.leases)}"
            self.leases.append((granted[0].lease, granted[1].lease))
            facts = [
                (
                    replace(
                        claimed,
                        lease=None,  # type: ignore[arg-type]
                        created_at_ms=0,
                        now_ms=0,
                        left_ms=claimed.left_ms and claimed.left_ms > 0,
                        deadline_ms=claimed.deadline_ms and 1,
                        attributes=sorted_text(claimed.attributes),
                        history=(),
                    ),
                    [self.step(side, step) for step in claimed.history],
                )
                for side, claimed in zip(self.sides, granted, strict=True)
            ]
            self.compare("grants", *facts)

    def first(self, queues: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of *queues* a claim believes to have a budget."""
        return queues

    def sweep(self) -> None:
        reap = self.random.random() < 0.7
        self.trace.append(f"sweep {reap=}")
        swept = [sweep(side.provider, app=self.app, reap=reap) for side in self.sides]
        self.compare(
            "sweeps",
            *(
                replace(one, reaped=tuple(sorted(one.reaped)), next_due_seconds=one.next_due_seconds and 1.0)
                for one in swept
            ),
        )

    def adopt(self) -> None:
        ids = tuple(self.random.sample(self.workflows, min(3, len(self.workflows))))
        versions = tuple(self.random.choice(("v1", "v2")) for _ in ids)
        write = AdoptWorkflows(self.app, (), ids, versions)
        self.trace.append(f"adopt {write}")
        self.compare("adoptions", *(commit(side.provider, write) for side in self.sides))

    def fork(self) -> None:
        # Apart, because other writes of one batch could be about what the fork makes only later.
        sources = (*self.workflows, f"{self.seed}-unknown")
        first = len(self.workflows)
        writes = [
            ForkWorkflow(self.random.choice(sources), f"{self.seed}-{number:04}", self.random.randint(1, 5), "forker")
            for number in range(first, first + 2)
        ]
        self.workflows += [write.fork_id for write in writes]
        self.trace.append(f"fork {writes}")
        self.compare("forks", *(commit(side.provider, *writes, writes[0]) for side in self.sides))

    def remove(self) -> None:
        # Apart, because what stands in the way of a start is gone when a batch that removes it is over.
        ids = self.random.sample(self.workflows, min(2, len(self.workflows)))
        writes = [delete(workflow_id) for workflow_id in (*ids, f"{self.seed}-unknown")]
        self.trace.append(f"remove {ids}")
        # Which answer of a batch names the queues of those that it woke is a provider's choice.
        outcomes = [commit(side.provider, *writes) for side in self.sides]
        self.compare("removals", *([type(outcome) for outcome in answered] for answered in outcomes))

    def cascade(self) -> None:
        if self.workflows:
            write = cancel(self.random.choice((*self.workflows, f"{self.seed}-unknown")), children=True)
            self.trace.append(f"cascade {write}")
            self.compare("cascades", *(commit(side.provider, write) for side in self.sides))

    def lapse(self) -> None:
        living = [row.executor_id for row in self.sides[0].provider.executors(ExecutorQuery())]
        if mine := sorted(set(living) & set(self.executors)):
            name = self.random.choice(mine)
            self.trace.append(f"lapse {name}")
            for side in self.sides:
                lapse(side.provider, name)

    def pass_time(self) -> None:
        delayed = self.sides[0].provider.workflows(ListFilter(id_prefix=f"{self.seed}-", statuses=[Status.DELAYED]))
        if delayed:
            workflow_id = self.random.choice(delayed).workflow_id
            self.trace.append(f"the instant of {workflow_id} passes")
            for side in self.sides:
                side.rewrite(workflow_id, delay_until_epoch_ms=1)
            # Until somebody sweeps, a provider is free to notice it earlier.
            self.sweep()

    def run_out(self) -> None:
        rows = self.sides[0].provider.workflows(ListFilter(id_prefix=f"{self.seed}-"))
        if late := [row.workflow_id for row in rows if row.deadline_ms is not None]:
            workflow_id = self.random.choice(late)
            self.trace.append(f"the deadline of {workflow_id} passes")
            for side in self.sides:
                side.rewrite(workflow_id, workflow_deadline_epoch_ms=1)

    def queues(self) -> tuple[str, ...]:
        return tuple(f"{queue} {self.seed}" for queue in QUEUES)

    def state(self, side: Side) -> object:
        query = ListFilter(id_prefix=f"{self.seed}-", load_input=True, load_output=True)
        rows = {row.workflow_id: self.row(side, row) for row in side.provider.workflows(query)}
        steps = {
            key: [self.step(side, step) for step in found]
            for key, found in side.provider.history(list(rows)).items()
            if found
        }
        executors = [
            (row.executor_id, row.state, row.why, row.lease_seconds_left > 0)
            for row in side.provider.executors(ExecutorQuery(executor_ids=tuple(self.executors), states=ANY_STATE))
        ]
        queues = [queue for queue in side.provider.queues() if queue.name in self.queues()]
        # Of several that one batch registers, which is the latest is a provider's choice.
        versions = sorted((row.name, row.executors, row.workflows) for row in side.provider.versions(self.app, 10))
        stranded = side.provider.workflows(replace(query, is_stranded=True, load_input=False, load_output=False))
        waiting = sorted(row.workflow_id for row in stranded)
        messages = {
            key: [replace(message, created_at_ms=0) for message in found]
            for key in rows
            if (found := side.provider.messages(key))
        }
        return rows, steps, sorted(executors), queues, versions, waiting, messages

    def plain(self, side: Side, write: Write, outcome: Outcome, *, is_moving: bool) -> object:
        """Return *outcome* without what differs between two databases: times and tokens.

        Where the batch itself moves the row, a provider may explain a refusal by what stood before that or after.
        """
        match outcome:
            case (
                Fenced() | Unexpired() | Diverged() | HistoryLost() | Nothing() | Missing(workflow_id=str()) | Closed()
            ) if is_moving:
                return "refused"
            case Existing() | Duplicate() if is_moving and isinstance(write, StartChild):
                return "refused"
            # Of two that contend in a batch the second may come after what moves the row.
            case Nothing() | Missing() if is_moving and isinstance(write, ReceiveMessage | RecordSend):
                return "refused"
            case Unexpired(left_ms=left_ms):
                return "unexpired", left_ms and left_ms > 0
            case Existing(row=row) if is_moving:
                return "existing", row.workflow_id
            case Recorded(serialization=str()):
                return outcome
            case Recorded(output=output, workflow_id=workflow_id):
                return "recorded", output is None, workflow_id
            case Existing(row=row):
                return "existing", self.row(side, row)
            case Diverged(record=record):
                return "diverged", self.step(side, record)
            case Released(workflow_ids=ids, queues=queues):
                return "released", sorted(ids), queues
            case _:
                return outcome

    def row(self, side: Side, row: WorkflowRow) -> WorkflowRow:
        times = {
            name: getattr(row, name) and 1
            for name in (
                "created_at_ms",
                "updated_at_ms",
                "started_at_ms",
                "completed_at_ms",
                "delay_until_ms",
                "deadline_ms",
            )
        }
        attributes = sorted_text(row.attributes)
        return replace(row, token=side.label(row.token), attributes=attributes, **times)  # type: ignore[arg-type]  # columns by name

    def step(self, side: Side, step: Checkpoint) -> Checkpoint:
        if step.name == "DBOS.sleep":
            step = replace(step, output="instant", completed_at_ms=0, started_at_ms=0)
        return replace(step, claim=side.label(step.claim))


ALL = frozenset({"every workflow"})
MOVING = (
    FinishWorkflow
    | ParkWorkflow
    | HandBack
    | SetDelay
    | ExpireWorkflow
    | CancelWorkflow
    | ResumeWorkflow
    | SetAttributes
    | RecordAttributes
    | AssumeRole
)


def sorted_text(attributes: str | None) -> str | None:
    """Return attributes in one form, because Postgres writes them in its own."""
    return attributes and json.dumps(json.loads(attributes), sort_keys=True)


def id_of(write: Write) -> str | None:
    """Return the workflow that a write is about, if any."""
    lease = getattr(write, "lease", None)
    return lease.workflow_id if lease else getattr(write, "workflow_id", None)


def ids_of(write: Write) -> set[str | None]:
    """Return the workflows that the answer to a write may speak of."""
    return {id_of(write), write.start.workflow_id} if isinstance(write, StartChild) else {id_of(write)}


def contended(write: Write, number: int) -> object:
    """Return what a write of a run may have to itself in its batch; *number* stands for everything else."""
    match write:
        case StoreQueue() | PauseQueue() | DeleteQueue():
            return "queue", write.name
        case RecordStep() | RecordSleep() | RecordSend() | StartChild():
            return write.lease.workflow_id, write.place
        case RecordAttributes():
            return "attributes", write.lease.workflow_id
        case AssumeRole():
            return "role", write.lease.workflow_id
        case SetEvent() | AppendStream():
            return write.lease.workflow_id, write.place
        case ReceiveMessage():
            return "receive", write.lease.workflow_id
        case FinishWorkflow() | ParkWorkflow() | HandBack() | ExpireWorkflow():
            return write.lease.workflow_id
        case SetDelay():
            return "delay", write.workflow_id
        case CancelWorkflow() | ResumeWorkflow():
            return write.workflow_id
        case DrainExecutor():
            return write.executor_id
        case _:
            return number


def is_torn(write: Write) -> bool:
    """Tell whether a write that is made twice in a batch may be answered by what stood amid that batch."""
    return isinstance(write, DrainExecutor | ReceiveMessage) or (
        isinstance(write, StartWorkflow) and write.dedup_id is not None
    )


def moved_by(batch: list[Write]) -> frozenset[str | None]:
    """Return the workflows that a batch may take off their owner, or queue."""
    if any(isinstance(write, Retire) for write in batch):
        return ALL
    return frozenset(id_of(write) for write in batch if isinstance(write, MOVING))
