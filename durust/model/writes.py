"""Every change of the database as a frozen value, and every answer that a write can get."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.copies import ImportWorkflows
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, Closed, Publication, SetEvent
from durust.model.queues import QueueDefinition
from durust.model.records import Checkpoint, Lease, WorkflowRow
from durust.model.schedule_writes import (
    DeleteSchedule,
    FireTicks,
    PauseSchedule,
    ResumeSchedule,
    ScheduleOutcome,
    ScheduleWrite,
    StoreSchedule,
)
from durust.model.status import Status
from durust.model.waits import Awaited

INTERNAL_QUEUE = "_dbos_internal_queue"
"""Where work without a queue of its own waits; the canonical name, which other tools know too."""


@dataclass(frozen=True, slots=True)
class StartWorkflow:
    """Insert a workflow: queued, delayed, or (with a lease) running at once under its starter.

    Answers `Recorded`, `Existing` (the id is taken; also by another start of the same `creator`, which is then
    `Recorded` again), `Duplicate` (the deduplication id is taken on that queue) or, with a lease, `Fenced` when the
    executor is not LIVE.
    """

    workflow_id: str
    name: str
    inputs: str | None
    serialization: str
    creator: str
    """Unique for this start: a retry of the same write carries the same one. With a lease it is the lease's token."""
    app_name: str
    queue: str | None = None
    priority: int = 0
    dedup_id: str | None = None
    delay_seconds: float = 0.0
    timeout_ms: int | None = None
    """How long it may run, counted from its first start."""
    deadline_ms: int | None = None
    """The instant at which it is cancelled, in place of a timeout."""
    partition_key: str | None = None
    schedule_name: str | None = None
    parent_id: str | None = None
    authenticated_user: str | None = None
    authenticated_roles: str | None = None
    """A JSON array of names."""
    attributes: str | None = None
    """A JSON object, by which it can be found."""
    app_version: str | None = None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class DebounceWorkflow:
    """Start a workflow some time after the last such write, or hand *start* to the run that waits for that.

    The deduplication id of *start* is the key. A debounced run that waits under it, of this workflow and application,
    takes over all that *start* says, but for its id; then it waits *period_seconds* from now on, and at the latest
    until *limit_seconds* after its first write. When none waits, or its time has come, a new one begins to wait.

    Answers `Recorded` with the id of the run, `Existing` (the id of a new one is taken) or `Duplicate` (the
    deduplication id is held by anything else). The run keeps the creator of its last write, so a repeated one changes
    nothing until another write has come in between.
    """

    start: StartWorkflow
    period_seconds: float
    limit_seconds: float | None = None
    """Counts when a new run begins to wait; later writes do not change its limit."""


# Not frozen, though nobody changes it: one is made for each step, and freezing costs four times as much as making it.
@dataclass(slots=True)
class RecordStep:
    """Record how a step ended, at its place.

    Answers `Recorded`, `Fenced`, `Diverged` (the place holds another record) or `HistoryLost` (the record that this
    run saw committed last is not there any more).
    """

    lease: Lease
    after: int | None
    place: int
    name: str
    output: str | None
    error: str | None
    serialization: str
    started_at_ms: int
    completed_at_ms: int


@dataclass(frozen=True, slots=True)
class RecordSleep:
    """Record the instant at which a sleep ends: *seconds* after the database's time, or after *not_before_ms* if later.

    The record's output is that instant as a portable JSON number of epoch seconds; its completion time is the same
    instant in milliseconds. Answers like `RecordStep`; `Recorded.output` is the instant, also for a repeated write.
    """

    lease: Lease
    after: int | None
    place: int
    name: str
    seconds: float
    not_before_ms: int = 0
    """What the run took in so far, which the sleep comes after whatever the database's clock says."""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Insert a child of a run and link it at its place in the run's history: both, or neither.

    Where a workflow of the child's name has its id already, the link leads to that one; with *attaches* also where one
    of its name holds its deduplication id. Answers `Recorded` with the id that the link leads to, `Existing` (a
    workflow of another name has the id), `Duplicate` (the deduplication id is taken on that queue), `Fenced`,
    `Diverged` or `HistoryLost`.
    """

    lease: Lease
    """That of the parent: no child starts after its parent's cancel has committed."""
    after: int | None
    place: int
    start: StartWorkflow
    """The child, queued under no lease; its parent is the run, whatever stands there."""
    started_at_ms: int
    completed_at_ms: int
    attaches: bool = False


@dataclass(frozen=True, slots=True)
class FinishWorkflow:
    """End a run: SUCCESS, ERROR or MAX_RECOVERY_ATTEMPTS_EXCEEDED. Answers `Recorded`, `Fenced` or `HistoryLost`."""

    lease: Lease
    after: int | None
    status: Status
    output: str | None
    error: str | None
    serialization: str


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a parked run waits for; kind, target, key and offset are those of an `Awaited`."""

    place: int
    kind: str
    target: str = ""
    key: str = ""
    at: int = 0
    until_ms: int | None = None

    @classmethod
    def of(cls, place: int, awaited: Awaited, until_ms: int | None) -> Wait:
        """Return the wait of the operation at *place* for something, at most until an instant."""
        return cls(place, awaited.kind, awaited.target, awaited.key, awaited.at, until_ms)


@dataclass(frozen=True, slots=True)
class ParkWorkflow:
    """Set a run aside until *until_ms* (database time) or until one of its waits is over; it costs one attempt less.

    What has arrived already queues it again at once. Answers `Recorded`, `Fenced` or `HistoryLost`. A repeated park
    finds the row DELAYED or with another token and is answered `Fenced`: either way the run unwinds.
    """

    lease: Lease
    after: int | None
    until_ms: int | None
    """The first instant that it waits for; None where no time ends its waits."""
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give a run back to its queue without counting the attempt. Answers `Recorded` or `Fenced`."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """Note by which role a run was let in. Answers `Recorded` or `Fenced`."""

    lease: Lease
    role: str


@dataclass(frozen=True, slots=True)
class SetDelay:
    """Let a delayed workflow be due *delay_seconds* after the database's time; 0 queues it at once.

    Answers `Recorded` (also where it is queued and 0 was asked for), `Existing` for a row that is not delayed, or whose
    run is parked and waits for something else than a delay, or `Missing`. Of two of one batch for one workflow either
    may come first.
    """

    workflow_id: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class ExpireWorkflow:
    """Cancel a run whose deadline has passed by the database's clock.

    Answers `Recorded`, `Fenced`, or `Unexpired` when the row's deadline, as it stands now, has not come.
    """

    lease: Lease


@dataclass(frozen=True, slots=True)
class CancelWorkflow:
    """Cancel a workflow, wherever it is; whoever runs it learns it from its next write.

    It keeps its queue, so that a resume knows where it belongs. Answers `Recorded`, `Missing`, or `Existing` when it
    has ended already.

    With *children*, also what it started, what these started, and so on, whether it has ended itself or not, until none
    is left that may start another. Answers `CalledOff` or `Missing`.
    """

    workflow_id: str
    children: bool = False


@dataclass(frozen=True, slots=True)
class ResumeWorkflow:
    """Queue a workflow again that was cancelled, set aside or is delayed: without a deadline, its attempts forgotten.

    A timeout counts anew from the next claim. Answers `Recorded`, `Missing`, or `Existing` when it is queued, runs or
    has a result.
    """

    workflow_id: str
    queue: str | None = None
    """Where it is queued, in place of where it was."""


@dataclass(frozen=True, slots=True)
class ForkWorkflow:
    """Queue a new workflow that has what another one recorded before a place: its steps, events and stream entries.

    Of a source that runs it has what stands at that moment. It keeps the source's inputs, version, attributes and
    user, but no deadline, timeout, priority or deduplication id. Answers `Recorded`, also for a repeated write,
    `Existing` when the new id is taken, or `Missing` when there is no source.
    """

    workflow_id: str
    """The source."""
    fork_id: str
    start_place: int
    """The first place that the new workflow comes to without a record."""
    creator: str
    """Unique for this fork: a retry of the same write carries the same one."""
    app_version: str | None = None
    queue: str | None = None
    partition_key: str | None = None
    timeout_ms: int | None = None
    children: tuple[tuple[str, str], ...] = ()
    """Pairs of a child that the source started and the workflow that stands for it in the fork."""


@dataclass(frozen=True, slots=True)
class DeleteWorkflow:
    """Remove a workflow, whatever it does, with all that is its own; a run of it is refused its next write.

    What it holds of its queue's budget ends when its body does. Answers `Recorded`, or `Missing`.
    """

    workflow_id: str


@dataclass(frozen=True, slots=True)
class RegisterExecutor:
    """Enter an executor as LIVE with a first lease. Answers `Recorded`; a repeated one changes nothing."""

    executor_id: str
    supervisor_id: str
    host: str
    boot_id: str
    pid_ns: str
    pid: int
    pid_started: float
    app_name: str
    app_version: str | None
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Beat:
    """Renew the leases of executors that are not DEAD. Answers `Alive` with the ids that were renewed."""

    executor_ids: tuple[str, ...]
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class DrainExecutor:
    """Stop an executor from claiming: LIVE becomes DRAINING.

    Answers `Recorded`, or `Missing` when it is DEAD or unknown.
    """

    executor_id: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Declare executors DEAD, then, in a later statement, release what they hold. Answers `Released`.

    Repeating it is harmless: it releases what is still held. Attempts stay counted.
    """

    executor_ids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class StoreQueue:
    """Store a queue's definition, replacing an older one of that name unless it is to be kept. Answers `Recorded`."""

    name: str
    worker_concurrency: int | None
    app_name: str
    global_concurrency: int | None = None
    rate_limit: int | None = None
    rate_period_seconds: float | None = None
    priority_enabled: bool = True
    partition_queue: bool = False
    partition_concurrency: int | None = None
    partition_worker_concurrency: int | None = None
    partition_rate_limit: int | None = None
    partition_rate_period_seconds: float | None = None
    keeps: bool = False

    @classmethod
    def of(cls, queue: QueueDefinition, app_name: str) -> StoreQueue:
        """Return the write that stores a definition as its declaration says."""
        rate, partition_rate = queue.rate_limiter, queue.partition_rate_limiter
        return cls(
            name=queue.name,
            worker_concurrency=queue.worker_concurrency,
            app_name=app_name,
            global_concurrency=queue.global_concurrency,
            rate_limit=rate.limit if rate else None,
            rate_period_seconds=rate.period_seconds if rate else None,
            priority_enabled=queue.priority_enabled,
            partition_queue=queue.partition_queue,
            partition_concurrency=queue.partition_concurrency,
            partition_worker_concurrency=queue.partition_worker_concurrency,
            partition_rate_limit=partition_rate.limit if partition_rate else None,
            partition_rate_period_seconds=partition_rate.period_seconds if partition_rate else None,
            keeps=queue.on_conflict == "keep",
        )


@dataclass(frozen=True, slots=True)
class PauseQueue:
    """Let nothing be claimed from a queue, or let it be claimed again. Answers `Recorded`, or `Missing`."""

    name: str
    is_paused: bool


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    """Forget a queue's definition; what waits on it waits without limits. Answers `Recorded`, or `Missing`."""

    name: str


@dataclass(frozen=True, slots=True)
class EndGrants:
    """End the shares of a queue's budget that runs held whose body stopped without a write. Answers `Recorded`."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """Register a version of an application with what its workflows are, as that of an executor.

    A new one is the latest; one that is known keeps its place. Answers `Recorded`, or `Refused` when another
    application has a version of that name; then only the executor's own workflows are noted.
    """

    version_id: str
    app_name: str
    name: str
    workflows: tuple[tuple[str, str], ...]
    """The names of its workflows, each with the version that its rows carry."""
    executor_id: str


@dataclass(frozen=True, slots=True)
class PromoteVersion:
    """Make a registered version the latest of its application. Answers `Recorded` or `Missing`."""

    app_name: str
    name: str


@dataclass(frozen=True, slots=True)
class AdoptWorkflows:
    """Give unfinished workflows another version, each if it is stranded still. Answers `Adopted`.

    Repeating it is harmless: what carries its version already is not adopted again.
    """

    app_name: str
    names: tuple[str, ...]
    """The workflow names by which rows that name no application belong here."""
    workflow_ids: tuple[str, ...]
    versions: tuple[str, ...]
    """The version that each of them is to carry, at the same index."""


# The order in which a provider applies the types of one batch; within a type it is the order of the batch. Rows come
# before what needs them, and a run's records before what ends it, so that a finish loses no step of its own batch.
APPLY_ORDER: tuple[type, ...] = (
    RegisterExecutor,
    StoreVersion,
    PromoteVersion,
    StoreQueue,
    PauseQueue,
    DeleteQueue,
    StoreSchedule,
    PauseSchedule,
    ResumeSchedule,
    DeleteSchedule,
    FireTicks,
    StartWorkflow,
    DebounceWorkflow,
    SetDelay,
    SetAttributes,
    AssumeRole,
    RecordStep,
    RecordSleep,
    RecordAttributes,
    SetEvent,
    AppendStream,
    RecordSend,
    SendMessages,
    ReceiveMessage,
    StartChild,
    FinishWorkflow,
    ParkWorkflow,
    HandBack,
    EndGrants,
    ExpireWorkflow,
    CancelWorkflow,
    ResumeWorkflow,
    ForkWorkflow,
    DeleteWorkflow,
    ImportWorkflows,
    AdoptWorkflows,
    Beat,
    DrainExecutor,
    Retire,
)

PlacedWrite = RecordStep | RecordSleep | RecordAttributes | Publication | RecordSend | ReceiveMessage | StartChild
"""What leaves a record at a place of a run's history."""
ChainedWrite = PlacedWrite | FinishWorkflow | ParkWorkflow
RunWrite = ChainedWrite | AssumeRole | HandBack | ExpireWorkflow
VersionWrite = StoreVersion | PromoteVersion | AdoptWorkflows
Write = (
    StartWorkflow
    | DebounceWorkflow
    | SetDelay
    | SetAttributes
    | RunWrite
    | SendMessages
    | VersionWrite
    | EndGrants
    | CancelWorkflow
    | ResumeWorkflow
    | ForkWorkflow
    | DeleteWorkflow
    | ImportWorkflows
    | RegisterExecutor
    | Beat
    | DrainExecutor
    | Retire
    | StoreQueue
    | PauseQueue
    | DeleteQueue
    | ScheduleWrite
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The write stands, by this try or by an earlier one of the same writer."""

    now_ms: int = 0
    """The database's time at the write, where the write asks for it (a start); else 0."""
    output: str | None = None
    """What the database chose for the record (a sleep's instant, a message); else None."""
    serialization: str | None = None
    """How that is written, where it may be written in several ways (a message); else None."""
    workflow_id: str | None = None
    """The run that the write led to, where another may stand for it (a debounced start, a child); else None."""
    queues: frozenset[str] = frozenset()
    """The queues to which waiters went that some write of the batch woke."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A workflow of that id was there already."""

    row: WorkflowRow


@dataclass(frozen=True, slots=True)
class Fenced:
    """The writer does not own the workflow any more; nothing was written."""

    holder: str | None = None
    """The executor that owns it now, if any."""


@dataclass(frozen=True, slots=True)
class Unexpired:
    """The run's deadline has not come."""

    left_ms: int | None
    """How long until it does; None when the row has no deadline any more."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """The place already holds a record that this run did not write."""

    record: Checkpoint


@dataclass(frozen=True, slots=True)
class HistoryLost:
    """A record that this run saw committed is gone: the database lost commits. The run hands its claim back."""


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such row."""

    workflow_id: str | None = None
    """Which, where the write names several (messages); else None."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """What the write was to take is not there, so nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another workflow on the queue holds the deduplication id."""

    workflow_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The write holds something that no database can take, such as an id with a NUL; its neighbours stand."""

    reason: str


def taken(write: StoreVersion, owner: str | None) -> str:
    """Return why a version is refused whose name another application has."""
    return f"version {write.name!r} is one of application {owner!r}, and a name stands for one version of all"


@dataclass(frozen=True, slots=True)
class Alive:
    """The executors whose leases were renewed."""

    executor_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Released:
    """The workflows that went back to their queues."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str]


@dataclass(frozen=True, slots=True)
class CalledOff:
    """The workflows that a cancel with children ended, in the order of their ids."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str] = frozenset()
    """The queues to which those went that waited for one of them."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """The workflows that carry another version now."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str]


RunOutcome = (
    Recorded | Existing | Fenced | Unexpired | Diverged | HistoryLost | Missing | Nothing | Duplicate | Refused | Closed
)
Outcome = RunOutcome | Alive | Released | CalledOff | Adopted | ScheduleOutcome
