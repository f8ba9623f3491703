"""Short names for the writes, claims and reads that the tests are made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from durust import clock
from durust.model.claims import Claimed
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, QueueWant, Scope, SweepRequest
from durust.model.message_writes import SEND_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.model.records import Checkpoint, ExecutorRow, Lease, WorkflowRow
from durust.model.status import Status
from durust.model.sweeps import Purged, Swept
from durust.model.waits import NULL_TOPIC
from durust.model.writes import (
    Beat,
    CancelWorkflow,
    DebounceWorkflow,
    DeleteWorkflow,
    ExpireWorkflow,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    Outcome,
    ParkWorkflow,
    Recorded,
    RecordSleep,
    RecordStep,
    RegisterExecutor,
    ResumeWorkflow,
    Retire,
    StartChild,
    StartWorkflow,
    Wait,
    Write,
)
from durust.storage.provider import StateProvider
from tests.support.waiting import eventually

APP, NAME, QUEUE, VERSION, FORMAT = "durust", "ship", "work", "v1", "portable_json"
# Longer than any test takes, so that a lease lapses only where a test lets it.
LONG_SECONDS = 600.0
# Over before anybody looks twice.
TINY_SECONDS = 0.001
ANY_STATE = ("LIVE", "DRAINING", "DEAD")


def commit(provider: StateProvider, *writes: Write) -> list[Outcome]:
    """Commit *writes* in one batch."""
    with closing(provider.writer()) as writer:
        return writer.commit(writes)


def commit_one(provider: StateProvider, write: Write) -> Outcome:
    """Commit *write* alone."""
    [outcome] = commit(provider, write)
    return outcome


def register(name: str, *, supervisor: str = "", ttl_seconds: float = LONG_SECONDS, **fields: Any) -> RegisterExecutor:
    """Return the write that enters an executor; by default it is its own supervisor."""
    values: dict[str, Any] = {
        "host": "host",
        "boot_id": "boot",
        "pid_ns": "pid:[1]",
        "pid": 4711,
        "pid_started": 1234.5,
        "app_name": APP,
        "app_version": VERSION,
    }
    return RegisterExecutor(
        executor_id=name, supervisor_id=supervisor or f"{name}'s", ttl_seconds=ttl_seconds, **(values | fields)
    )


def make_executor(provider: StateProvider, name: str, **fields: Any) -> str:
    """Enter an executor as LIVE, unless it is there."""
    assert commit_one(provider, register(name, **fields)) == Recorded()
    return name


def lapse(provider: StateProvider, name: str) -> None:
    """Let the lease of an executor end."""
    commit(provider, Beat((name,), 0.0))
    eventually(lambda: executor(provider, name).lease_seconds_left < 0)


def executor(provider: StateProvider, name: str) -> ExecutorRow:
    """Read one executor."""
    [row] = provider.executors(ExecutorQuery(executor_ids=(name,), states=ANY_STATE))
    return row


def start(
    workflow_id: str = "", *, lease: Lease | None = None, queue: str | None = QUEUE, **fields: Any
) -> StartWorkflow:
    """Return the write that starts a workflow, on the queue or directly under *lease*."""
    workflow_id = lease.workflow_id if lease else workflow_id or clock.ordered_id()
    values: dict[str, Any] = {
        "name": NAME,
        "inputs": f'["{workflow_id}"]',
        "serialization": FORMAT,
        "creator": lease.token if lease else clock.random_token(),
        "app_name": APP,
        "app_version": None,
    }
    return StartWorkflow(workflow_id, lease=lease, queue=None if lease else queue, **(values | fields))


def debounce(
    workflow_id: str = "", *, key: str = "key", period: float = LONG_SECONDS, limit: float | None = None, **fields: Any
) -> DebounceWorkflow:
    """Return the write that debounces a workflow of the queue under *key*."""
    return DebounceWorkflow(start(workflow_id, **({"dedup_id": f"{NAME}-{key}"} | fields)), period, limit)


def make_enqueued(provider: StateProvider, workflow_id: str = "", **fields: Any) -> str:
    """Start a workflow on the queue and return its id."""
    write = start(workflow_id, **fields)
    assert isinstance(commit_one(provider, write), Recorded)
    return write.workflow_id


def make_started(provider: StateProvider, workflow_id: str = "direct", *, by: str = "first", **fields: Any) -> Lease:
    """Start a workflow directly under an executor and return its lease."""
    lease = Lease(workflow_id, make_executor(provider, by), f"{clock.now_ms() * 1000:016x}-{clock.random_token()}")
    assert isinstance(commit_one(provider, start(lease=lease, **fields)), Recorded)
    return lease


def want(
    by: str,
    *queues: str,
    limit: int = 100,
    each: int = 100,
    names: Sequence[str] = (NAME,),
    versions: Sequence[str] = (),
    app: str = APP,
) -> ClaimRequest:
    """Return a request for work of *queues*, by default the one queue."""
    wants = tuple(QueueWant(queue, each) for queue in queues or (QUEUE,))
    return ClaimRequest(by, Scope(app, tuple(names)), tuple(versions or [VERSION] * len(names)), wants, limit)


def make_claimed(provider: StateProvider, workflow_id: str = "", *, by: str = "first", **fields: Any) -> Claimed:
    """Start a workflow on a queue of its own and have it claimed."""
    queue = f"queue-{clock.random_token()}"
    make_enqueued(provider, workflow_id, queue=queue, **fields)
    [claimed] = provider.claim(want(make_executor(provider, by), queue))
    return claimed


def reclaim(provider: StateProvider, lease: Lease, *, by: str) -> Claimed:
    """Let the owner of *lease* die, and another executor claim the workflow."""
    commit(provider, Retire((lease.executor_id,), "killed"))
    queue = row_of(provider, lease.workflow_id).queue or ""
    [claimed] = provider.claim(want(make_executor(provider, by), queue))
    assert claimed.lease.workflow_id == lease.workflow_id
    return claimed


def record_step(of: Claimed | Lease, place: int = 1, *, after: int | None = None, **fields: Any) -> RecordStep:
    """Return the write that records a step; times grow with its place."""
    values: dict[str, Any] = {
        "name": "charge",
        "output": f'"{place}"',
        "error": None,
        "serialization": FORMAT,
        "started_at_ms": 1_000 + place,
        "completed_at_ms": 2_000 + place,
    }
    return RecordStep(lease_of(of), after, place, **(values | fields))


def record_sleep(of: Claimed | Lease, place: int = 1, *, after: int | None = None, seconds: float = 5.0) -> RecordSleep:
    """Return the write that records a sleep."""
    return RecordSleep(lease_of(of), after, place, "DBOS.sleep", seconds)


def letter(
    to: str, text: str = '"hello"', *, topic: str = NULL_TOPIC, message_id: str = "", serialization: str = FORMAT
) -> Letter:
    """Return one message."""
    return Letter(message_id or clock.ordered_id(), to, topic, text, serialization)


def send(*letters: Letter) -> SendMessages:
    """Return the write that sends messages from outside."""
    return SendMessages(letters)


def record_send(
    of: Claimed | Lease, *letters: Letter, place: int = 1, after: int | None = None, name: str = SEND_NAME
) -> RecordSend:
    """Return the write that sends messages from a run; times grow with its place."""
    return RecordSend(lease_of(of), after, place, name, letters, 1_000 + place, 2_000 + place)


def receive(
    of: Claimed | Lease,
    place: int = 1,
    *,
    topic: str = NULL_TOPIC,
    after: int | None = None,
    is_timeout: bool = False,
) -> ReceiveMessage:
    """Return the write that receives a message; times grow with its place."""
    return ReceiveMessage(lease_of(of), after, place, topic, 1_000 + place, 2_000 + place, is_timeout)


def start_child(
    of: Claimed | Lease,
    child_id: str = "",
    *,
    place: int = 1,
    after: int | None = None,
    attaches: bool = False,
    **fields: Any,
) -> StartChild:
    """Return the write that starts a child of a run; times grow with its place."""
    lease = lease_of(of)
    begun = start(child_id or f"{lease.workflow_id}-{place}", **fields)
    return StartChild(lease, after, place, begun, 1_000 + place, 2_000 + place, attaches)


def finish(
    of: Claimed | Lease, status: Status = Status.SUCCESS, *, after: int | None = None, output: str | None = '"done"'
) -> FinishWorkflow:
    """Return the write that ends a run."""
    is_success = status is Status.SUCCESS
    return FinishWorkflow(
        lease_of(of), after, status, output if is_success else None, None if is_success else output, FORMAT
    )


def park(of: Claimed | Lease, *, after: int | None = None, until_ms: int | None = None) -> ParkWorkflow:
    """Return the write that sets a run aside, by default for long."""
    until_ms = clock.now_ms() + 600_000 if until_ms is None else until_ms
    return ParkWorkflow(lease_of(of), after, until_ms, (Wait(1, "sleep", until_ms=until_ms),))


def hand_back(of: Claimed | Lease) -> HandBack:
    """Return the write that gives a run back."""
    return HandBack(lease_of(of))


def expire(of: Claimed | Lease) -> ExpireWorkflow:
    """Return the write that cancels a run whose time is over."""
    return ExpireWorkflow(lease_of(of))


def cancel(workflow_id: str, *, children: bool = False) -> CancelWorkflow:
    """Return the write that cancels a workflow, alone or with all that it led to."""
    return CancelWorkflow(workflow_id, children)


def resume(workflow_id: str) -> ResumeWorkflow:
    """Return the write that queues a workflow again."""
    return ResumeWorkflow(workflow_id)


def fork(workflow_id: str, fork_id: str, place: int, **fields: Any) -> ForkWorkflow:
    """Return the write that forks a workflow at a place."""
    return ForkWorkflow(workflow_id, fork_id, place, **({"creator": clock.random_token()} | fields))


def delete(workflow_id: str) -> DeleteWorkflow:
    """Return the write that removes a workflow."""
    return DeleteWorkflow(workflow_id)


def sweep(
    provider: StateProvider, *, by: str = "sweeper", reap: bool = True, limit: int = 500, app: str = APP
) -> Swept:
    """Sweep once."""
    return provider.sweep(SweepRequest(by, Scope(app, (NAME,)), reap, limit))


def purge(
    provider: StateProvider,
    *,
    age: float | None = None,
    keep: int | None = None,
    app: str = APP,
    names: Sequence[str] = (NAME,),
    **fields: Any,
) -> Purged:
    """Purge one batch."""
    return provider.purge(
        PurgeRequest(scope=Scope(app, tuple(names)), ended_before_seconds=age, keep_newest=keep, **fields)
    )


def row_of(provider: StateProvider, workflow_id: str) -> WorkflowRow:
    """Read one workflow whole."""
    [row] = provider.workflows(ListFilter(workflow_ids=[workflow_id], load_input=True, load_output=True))
    return row


def history(provider: StateProvider, workflow_id: str) -> list[Checkpoint]:
    """Read the recorded steps of one workflow."""
    return list(provider.history([workflow_id]).get(workflow_id, ()))


def instant(at_ms: int) -> datetime:
    """Return the instant that a row names by its milliseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def lease_of(of: Claimed | Lease) -> Lease:
    """Return the lease of a claim, or the lease itself."""
    return of.lease if isinstance(of, Claimed) else of
