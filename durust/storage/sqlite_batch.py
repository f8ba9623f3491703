"""One batch of writes on SQLite: what each type asks for, inside one transaction, and what it is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from operator import attrgetter
from typing import Any, Protocol

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import merge
from durust.model.copies import ImportWorkflows
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, Closed, Publication, SetEvent
from durust.model.schedule_writes import DeleteSchedule, FireTicks, PauseSchedule, ResumeSchedule, StoreSchedule
from durust.model.status import ENQUEUED, PENDING, recorded
from durust.model.waits import STREAM_CLOSED, Wake
from durust.model.wakes import told
from durust.model.writes import (
    APPLY_ORDER,
    INTERNAL_QUEUE,
    Adopted,
    AdoptWorkflows,
    Alive,
    AssumeRole,
    Beat,
    CalledOff,
    CancelWorkflow,
    DebounceWorkflow,
    DeleteQueue,
    DeleteWorkflow,
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
    Outcome,
    ParkWorkflow,
    PauseQueue,
    PlacedWrite,
    PromoteVersion,
    Recorded,
    RecordSleep,
    RecordStep,
    Refused,
    RegisterExecutor,
    Released,
    ResumeWorkflow,
    Retire,
    RunWrite,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Unexpired,
    Write,
    taken,
)
from durust.storage import (
    debounces,
    rows,
    sqlite_forks,
    sqlite_imports,
    sqlite_messages,
    sqlite_removals,
    sqlite_schedules,
    statements,
)
from durust.storage.links import Param, Row
from durust.storage.retries import own_retry
from durust.storage.statements import Statement

SQL = statements.load("sqlite")

# What the records of publications are written in, which hold nothing: the canonical name of plain JSON.
PORTABLE = "portable_json"

Params = Mapping[str, Param]

_PARAMETER = re.compile(r"(?<![\w:']):([a-z_]+)")
# Where a step's columns stand in its write. Steps alone are many enough to go through `executemany` by position: in
# batches of 256 that takes 0.6 of the processor time that a call for each takes; json_each is no faster than calls.
_STEP = {
    "id": "lease.workflow_id",
    "executor": "lease.executor_id",
    "token": "lease.token",
    "after": "after",
    "place": "place",
    "name": "name",
    "output": "output",
    "error": "error",
    "format": "serialization",
    "started": "started_at_ms",
    "completed": "completed_at_ms",
}


class Statements(Protocol):
    """What runs one statement at a time in a transaction, each of which also knows the moment of the transaction."""

    now_ms: int

    def rows(self, statement: Statement, params: Params) -> list[Row]:
        """Run a statement and return its rows."""

    def change(self, statement: Statement, params: Params) -> int:
        """Run a statement and return how many rows it changed."""


class Transaction(Statements, Protocol):
    """An open write transaction of durust's own."""

    def change_many(self, statement: Statement, sql: str, values: Sequence[Row]) -> int:
        """Run *sql*, the statement with nameless parameters, for each of *values*; return how many rows it changed."""

    def script(self, sql: str) -> None:
        """Run a text of several statements."""


@cache
def _nameless(sql: str) -> tuple[str, Callable[[Any], Row]]:
    """Return *sql* with nameless parameters, and what takes their values out of a `RecordStep`.

    Not with numbered ones: Python 3.12 warns of those until its fourth release.
    """
    names = _PARAMETER.findall(sql)
    return _PARAMETER.sub("?", sql), attrgetter(*(_STEP[name] for name in names))


def commit(transaction: Transaction, writes: Sequence[Write]) -> list[Outcome]:
    """Apply *writes* by type, and within a type in their order; return their outcomes."""
    outcomes: dict[int, Outcome] = {}
    groups: dict[type, list[tuple[int, Any]]] = {}
    for index, write in enumerate(writes):
        groups.setdefault(type(write), []).append((index, write))
    for kind in APPLY_ORDER:
        group = groups.get(kind, [])
        if kind is DebounceWorkflow:
            outcomes |= debounces.answers(group, partial(_debounce, transaction))
            continue
        if kind is RecordStep and group:
            applied = _record_steps(transaction, [write for _, write in group])
        else:
            applied = [_APPLY[kind](transaction, write) for _, write in group]
            for _, write in group:
                _end_grant_of(transaction, write)
        outcomes.update(zip((index for index, _ in group), applied, strict=True))
    answers = [outcomes[index] for index in range(len(writes))]
    return told(writes, answers, partial(_wake_all, transaction))


def _record_steps(transaction: Transaction, writes: list[RecordStep]) -> list[Outcome]:
    sql, values = _nameless(SQL.record_steps.sql)
    recorded = transaction.change_many(SQL.record_steps, sql, [values(write) for write in writes])
    if recorded == len(writes):
        return [Recorded()] * len(writes)
    # Which of them did not count is told by what stands now.
    return [_explain(transaction, write) or Recorded() for write in writes]


def record_alone(transaction: Transaction, write: RecordStep) -> Outcome | None:
    """Write one step; return None when it was written by this, and otherwise what stands in its way."""
    sql, values = _nameless(SQL.record_steps.sql)
    if transaction.change_many(SQL.record_steps, sql, [values(write)]):
        return None
    return _explain(transaction, write) or HistoryLost()


def _record_sleep(transaction: Transaction, write: RecordSleep) -> Outcome:
    params: dict[str, Param] = {
        "place": write.place,
        "name": write.name,
        "lasting": round(write.seconds * 1000),
        "floor": write.not_before_ms,
    }
    transaction.change(SQL.record_sleeps, _guard(write) | params)
    # The instant is the database's, also for a write that was made before.
    return _explain(transaction, write) or Recorded()


def _assume_role(transaction: Transaction, write: AssumeRole) -> Outcome:
    if transaction.change(SQL.assume_roles, _guard(write) | {"role": write.role}):
        return Recorded()
    return _explain(transaction, write) or Fenced()


def _record_attributes(transaction: Transaction, write: RecordAttributes) -> Outcome:
    if not transaction.change(SQL.record_steps, _published(write)):
        return _explain(transaction, write) or Recorded()
    return _set_attributes(transaction, write.lease.workflow_id, write.patch)


def _set_attributes(transaction: Transaction, workflow_id: str, patch: str) -> Outcome:
    for (standing,) in transaction.rows(SQL.find_attributes, {"id": workflow_id}):
        transaction.change(SQL.set_attributes, {"id": workflow_id, "attributes": merge(standing, patch)})
        return Recorded()
    return Missing()


def _set_event(transaction: Transaction, write: SetEvent) -> Outcome:
    if not transaction.change(SQL.record_steps, _published(write)):
        return _explain(transaction, write) or Recorded()
    values = _placed(write)
    transaction.change(SQL.keep_events, values)
    transaction.change(SQL.set_events, values)
    return Recorded()


def _append(transaction: Transaction, write: AppendStream) -> Outcome:
    values = _placed(write)
    [(offset, is_closed)] = transaction.rows(SQL.find_stream_ends, values)
    if is_closed and write.text is not None:
        return _explain(transaction, write) or Closed()
    if not transaction.change(SQL.record_steps, _published(write)):
        return _explain(transaction, write) or Recorded()
    if not is_closed:
        text = STREAM_CLOSED if write.text is None else write.text
        transaction.change(SQL.append_streams, values | {"offset": offset, "text": text})
    return Recorded()


def _published(write: Publication | RecordAttributes) -> dict[str, Param]:
    """Return the record of a publication, as the columns of a step."""
    return _guard(write) | {
        "place": write.place,
        "name": write.name,
        "output": None,
        "error": None,
        "format": PORTABLE,
        "started": write.started_at_ms,
        "completed": write.completed_at_ms,
    }


def _placed(write: Publication) -> dict[str, Param]:
    return {
        "id": write.lease.workflow_id,
        "place": write.place,
        "key": write.key,
        "text": write.text,
        "format": write.serialization,
    }


def _record_send(transaction: Transaction, write: RecordSend) -> Outcome:
    return sqlite_messages.record_send(transaction, write, _guard(write), partial(_explain, transaction, write))


def _receive(transaction: Transaction, write: ReceiveMessage) -> Outcome:
    return sqlite_messages.receive(transaction, write, _guard(write), partial(_explain, transaction, write))


def _start_child(transaction: Transaction, write: StartChild) -> Outcome:
    if (standing := _explain(transaction, write)) is not None:
        return standing
    begun = replace(write.start, parent_id=write.lease.workflow_id)
    child_id: str
    match outcome := start(transaction, begun):
        case Recorded():
            child_id = begun.workflow_id
        case Existing(row) if row.name == begun.name:
            child_id = row.workflow_id
        case Duplicate(holder) if write.attaches and _name_of(transaction, holder) == begun.name:
            child_id = holder
        case _:
            return outcome
    times = {"started": write.started_at_ms, "completed": write.completed_at_ms}
    transaction.change(SQL.start_children, _guard(write) | times | {"place": write.place, "child": child_id})
    return Recorded(workflow_id=child_id)


def _name_of(transaction: Transaction, workflow_id: str) -> str | None:
    [(_, *record)] = transaction.rows(SQL.classify_starts, {"id": workflow_id, "queue": None, "dedup": None})
    return None if record[0] is None else rows.workflow(record).name


def _finish(transaction: Transaction, write: FinishWorkflow) -> Outcome:
    params: dict[str, Param] = {"status": str(write.status), "format": write.serialization}
    if not transaction.change(SQL.finish_workflows, _guard(write) | params):
        return _explain(transaction, write) or Recorded()
    values = {"id": write.lease.workflow_id, "output": write.output, "error": write.error}
    transaction.change(SQL.store_outputs, values)
    return Recorded()


def _park(transaction: Transaction, write: ParkWorkflow) -> Outcome:
    params: dict[str, Param] = {"until": write.until_ms, "internal": INTERNAL_QUEUE}
    if not transaction.change(SQL.park_workflows, _guard(write) | params):
        return _explain(transaction, write) or Fenced()
    workflow_id = write.lease.workflow_id
    transaction.change(SQL.forget_waits, {"id": workflow_id})
    for wait in write.waits if write.until_ms is None or write.until_ms > transaction.now_ms else ():
        values: dict[str, Param] = {
            "id": workflow_id,
            "place": wait.place,
            "kind": wait.kind,
            "target": wait.target,
            "key": wait.key,
            "at": wait.at,
            "until": wait.until_ms,
        }
        transaction.change(SQL.store_waits, values)
    # What is waited for may have come before the run was set aside.
    if transaction.rows(SQL.has_arrived, {"id": workflow_id}):
        wake(transaction, workflow_id)
    return Recorded()


def wake(transaction: Transaction, workflow_id: str) -> list[str]:
    """Queue a parked run; return the queue that got it, if it was parked."""
    queued = transaction.rows(SQL.wake_parked, {"id": workflow_id, "internal": INTERNAL_QUEUE})
    if queued:
        transaction.change(SQL.forget_waits, {"id": workflow_id})
    return [row[0] for row in queued]


def _wake_all(transaction: Transaction, wakes: Iterable[Wake]) -> frozenset[str]:
    """Queue whoever is parked for one of *wakes*; return the queues."""
    waiters = [
        row[0]
        for one in wakes
        for row in transaction.rows(SQL.find_waiters, {"kind": one.kind, "target": one.target, "key": one.key})
    ]
    return frozenset(queue for workflow_id in waiters for queue in wake(transaction, workflow_id))


def _hand_back(transaction: Transaction, write: HandBack) -> Outcome:
    changed = transaction.change(SQL.hand_back_workflows, {**_guard(write), "internal": INTERNAL_QUEUE})
    return Recorded() if changed else _explain(transaction, write) or Fenced()


def _expire(transaction: Transaction, write: ExpireWorkflow) -> Outcome:
    changed = transaction.change(SQL.expire_workflows, _guard(write))
    return Recorded() if changed else _explain(transaction, write) or Fenced()


def _cancel(transaction: Transaction, write: CancelWorkflow) -> Outcome:
    if write.children:
        ended = sorted(row[0] for row in transaction.rows(SQL.cancel_trees, {"id": write.workflow_id}))
        for workflow_id in ended:
            transaction.change(SQL.forget_waits, {"id": workflow_id})
        is_missing = not ended and _name_of(transaction, write.workflow_id) is None
        return Missing() if is_missing else CalledOff(tuple(ended))
    if not transaction.change(SQL.cancel_workflows, {"id": write.workflow_id}):
        return _unmoved(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, {"id": write.workflow_id})
    return Recorded()


def _resume(transaction: Transaction, write: ResumeWorkflow) -> Outcome:
    values: dict[str, Param] = {"id": write.workflow_id, "queue": write.queue, "internal": INTERNAL_QUEUE}
    if not transaction.change(SQL.resume_workflows, values):
        return _unmoved(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, values)
    transaction.change(SQL.forget_outputs, values)
    return Recorded()


def _unmoved(transaction: Transaction, workflow_id: str) -> Outcome:
    """Return what stands in the way of a cancel or a resume that changed nothing."""
    [(_, *record)] = transaction.rows(SQL.classify_starts, {"id": workflow_id, "queue": None, "dedup": None})
    return Missing() if record[0] is None else Existing(rows.workflow(record))


def _guard(write: RunWrite) -> dict[str, Param]:
    lease = write.lease
    guard: dict[str, Param] = {"id": lease.workflow_id, "executor": lease.executor_id, "token": lease.token}
    return guard if isinstance(write, AssumeRole | HandBack | ExpireWorkflow) else guard | {"after": write.after}


def _explain(transaction: Transaction, write: RunWrite) -> Outcome | None:
    """Return what stands for a run's write, or None when nothing speaks against it."""
    place = write.place if isinstance(write, PlacedWrite) else None
    [(status, executor_id, token, left_ms, is_chained, *record)] = transaction.rows(
        SQL.classify_runs, {"after": None} | _guard(write) | {"place": place}
    )
    lease = write.lease
    standing = None if record[0] is None else rows.checkpoint(record)
    if own := own_retry(write, standing):
        return own
    if isinstance(write, FinishWorkflow) and token == lease.token and recorded(status).is_terminal:
        return Recorded()
    if status != PENDING or (executor_id, token) != (lease.executor_id, lease.token):
        return Fenced(executor_id if status == PENDING else None)
    if isinstance(write, ExpireWorkflow):
        return Unexpired(left_ms)
    if standing is not None:
        return Diverged(standing)
    return None if is_chained else HistoryLost()


def start(transaction: Statements, write: StartWorkflow) -> Outcome:
    """Start one workflow."""
    values = _start_values(write)
    if transaction.change(SQL.start_workflows, values):
        transaction.change(SQL.store_inputs, {"id": write.workflow_id, "inputs": write.inputs})
        return Recorded(now_ms=transaction.now_ms)
    return _standing(transaction, write, values)


def _start_values(write: StartWorkflow) -> dict[str, Param]:
    lease = write.lease
    return {
        "id": write.workflow_id,
        "name": write.name,
        "queue": write.queue if lease else write.queue or INTERNAL_QUEUE,
        "priority": write.priority,
        "dedup": write.dedup_id,
        "delay": 0 if lease else round(write.delay_seconds * 1000),
        "version": write.app_version,
        "app": write.app_name,
        "format": write.serialization,
        "creator": write.creator,
        "executor": lease.executor_id if lease else None,
        "token": lease.token if lease else None,
        "timeout": write.timeout_ms,
        "deadline": write.deadline_ms,
        "partition": write.partition_key,
        "schedule": write.schedule_name,
        "parent": write.parent_id,
        "user": write.authenticated_user,
        "roles": write.authenticated_roles,
        "attributes": write.attributes,
    }


def _standing(transaction: Statements, write: StartWorkflow, values: Params) -> Outcome:
    """Return what stands for a start that changed nothing."""
    [(holder, *record)] = transaction.rows(SQL.classify_starts, values)
    if record[0] is not None:
        standing = rows.workflow(record)
        is_own_retry = standing.creator == write.creator
        return Recorded(now_ms=standing.created_at_ms) if is_own_retry else Existing(standing)
    return Fenced() if holder is None else Duplicate(holder)


def _debounce(transaction: Transaction, write: DebounceWorkflow) -> Outcome:
    start = write.start
    limit = write.limit_seconds
    values = _start_values(start) | {
        "period": round(write.period_seconds * 1000),
        "latest": None if limit is None else transaction.now_ms + round(limit * 1000),
    }
    for (own,) in transaction.rows(SQL.find_debounce, values):
        return Recorded(workflow_id=own)
    transaction.change(SQL.queue_overdue, values)
    found = transaction.rows(SQL.bounce_workflows, values) or transaction.rows(SQL.debounce_workflows, values)
    for (workflow_id,) in found:
        transaction.change(SQL.store_inputs, {"id": workflow_id, "inputs": start.inputs})
        return Recorded(workflow_id=workflow_id)
    return _standing(transaction, start, values)


def _set_delay(transaction: Transaction, write: SetDelay) -> Outcome:
    lasting = round(write.delay_seconds * 1000)
    values: dict[str, Param] = {"id": write.workflow_id, "lasting": lasting, "internal": INTERNAL_QUEUE}
    if transaction.change(SQL.set_delays, values):
        return Recorded()
    [(_, *record)] = transaction.rows(SQL.classify_starts, {"id": write.workflow_id, "queue": None, "dedup": None})
    if record[0] is None:
        return Missing()
    standing = rows.workflow(record)
    return Recorded() if standing.status is ENQUEUED and lasting <= 0 else Existing(standing)


def _register(transaction: Transaction, write: RegisterExecutor) -> Outcome:
    values: dict[str, Param] = {
        "id": write.executor_id,
        "supervisor": write.supervisor_id,
        "host": write.host,
        "executor_boot": write.boot_id,
        "namespace": write.pid_ns,
        "pid": write.pid,
        "started": write.pid_started,
        "app": write.app_name,
        "version": write.app_version,
        "ttl": write.ttl_seconds,
    }
    transaction.change(SQL.register_executors, values)
    transaction.change(SQL.register_leases, values)
    return Recorded()


def _store_version(transaction: Transaction, write: StoreVersion) -> Outcome:
    values: dict[str, Param] = {
        "id": write.version_id,
        "app": write.app_name,
        "name": write.name,
        "executor": write.executor_id,
    }
    transaction.change(SQL.store_versions, values)
    for workflow, version in write.workflows:
        transaction.change(SQL.store_version_workflows, values | {"workflow": workflow, "version": version})
    transaction.change(SQL.serve_versions, values)
    [(owner,)] = transaction.rows(SQL.find_version_owner, values)
    return Recorded() if owner == write.app_name else Refused(taken(write, owner))


def _promote(transaction: Transaction, write: PromoteVersion) -> Outcome:
    changed = transaction.change(SQL.promote_versions, {"app": write.app_name, "name": write.name})
    return Recorded() if changed else Missing()


def _adopt(transaction: Transaction, write: AdoptWorkflows) -> Outcome:
    scope: dict[str, Param] = {
        "app": write.app_name,
        "names": json.dumps(write.names, ensure_ascii=False),
        "internal": INTERNAL_QUEUE,
    }
    adopted = [
        row
        for workflow_id, version in zip(write.workflow_ids, write.versions, strict=True)
        for row in transaction.rows(SQL.adopt_workflows, scope | {"id": workflow_id, "version": version})
    ]
    return Adopted(tuple(sorted(row[0] for row in adopted)), frozenset(row[1] for row in adopted))


def _store_queue(transaction: Transaction, write: StoreQueue) -> Outcome:
    values: dict[str, Param] = {
        "name": write.name,
        "worker": write.worker_concurrency,
        "concurrency": write.global_concurrency,
        "rate": write.rate_limit,
        "period": write.rate_period_seconds,
        "is_prioritized": write.priority_enabled,
        "is_partitioned": write.partition_queue,
        "partition": write.partition_concurrency,
        "partition_worker": write.partition_worker_concurrency,
        "partition_rate": write.partition_rate_limit,
        "partition_period": write.partition_rate_period_seconds,
        "app": write.app_name,
        "keeps": write.keeps,
    }
    transaction.change(SQL.store_queues, values)
    return Recorded()


def _pause_queue(transaction: Transaction, write: PauseQueue) -> Outcome:
    transaction.change(SQL.pause_queues if write.is_paused else SQL.unpause_queues, {"name": write.name})
    return Recorded() if transaction.rows(SQL.find_queue, {"name": write.name}) else Missing()


def _delete_queue(transaction: Transaction, write: DeleteQueue) -> Outcome:
    transaction.change(SQL.unpause_queues, {"name": write.name})
    return Recorded() if transaction.change(SQL.delete_queues, {"name": write.name}) else Missing()


def _end_grants(transaction: Transaction, write: EndGrants) -> Outcome:
    for token in write.tokens:
        transaction.change(SQL.end_grants, {"token": token})
    return Recorded()


def _end_grant_of(transaction: Transaction, write: Write) -> None:
    # Also where the guard refuses the rest: its body has stopped, or is about to.
    if isinstance(write, FinishWorkflow | ParkWorkflow | HandBack) and write.lease.has_grant:
        transaction.change(SQL.end_grants, {"token": write.lease.token})


def _beat(transaction: Transaction, write: Beat) -> Outcome:
    return Alive(
        frozenset(
            executor_id
            for executor_id in write.executor_ids
            if transaction.change(SQL.beat, {"id": executor_id, "ttl": write.ttl_seconds})
        )
    )


def _drain(transaction: Transaction, write: DrainExecutor) -> Outcome:
    return Recorded() if transaction.change(SQL.drain_executors, {"id": write.executor_id}) else Missing()


def _retire(transaction: Transaction, write: Retire) -> Outcome:
    return retire(transaction, write.executor_ids, write.why)


def retire(transaction: Transaction, executor_ids: Sequence[str], why: str) -> Released:
    """Declare executors DEAD, then release what they hold."""
    for executor_id in executor_ids:
        transaction.change(SQL.retire_executors, {"id": executor_id, "why": why})
    released = [
        row
        for executor_id in executor_ids
        for row in transaction.rows(SQL.release_workflows, {"id": executor_id, "internal": INTERNAL_QUEUE})
    ]
    return Released(tuple(sorted(row[0] for row in released)), frozenset(row[1] for row in released))


_APPLY: dict[type, Callable[[Transaction, Any], Outcome]] = {
    RegisterExecutor: _register,
    StoreVersion: _store_version,
    PromoteVersion: _promote,
    AdoptWorkflows: _adopt,
    StoreQueue: _store_queue,
    PauseQueue: _pause_queue,
    DeleteQueue: _delete_queue,
    EndGrants: _end_grants,
    StoreSchedule: sqlite_schedules.store,
    PauseSchedule: sqlite_schedules.pause,
    ResumeSchedule: sqlite_schedules.resume,
    DeleteSchedule: sqlite_schedules.delete,
    FireTicks: lambda transaction, write: sqlite_schedules.fire(transaction, write, start),
    StartWorkflow: start,
    SetDelay: _set_delay,
    SetAttributes: lambda transaction, write: _set_attributes(transaction, write.workflow_id, write.patch),
    AssumeRole: _assume_role,
    RecordAttributes: _record_attributes,
    RecordSleep: _record_sleep,
    SetEvent: _set_event,
    AppendStream: _append,
    RecordSend: _record_send,
    SendMessages: sqlite_messages.send,
    ReceiveMessage: _receive,
    StartChild: _start_child,
    FinishWorkflow: _finish,
    ParkWorkflow: _park,
    HandBack: _hand_back,
    ExpireWorkflow: _expire,
    CancelWorkflow: _cancel,
    ResumeWorkflow: _resume,
    ForkWorkflow: sqlite_forks.fork,
    DeleteWorkflow: sqlite_removals.delete,
    ImportWorkflows: sqlite_imports.enter,
    Beat: _beat,
    DrainExecutor: _drain,
    Retire: _retire,
}
