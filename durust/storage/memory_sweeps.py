"""Sweeps in memory: what is due, late, arrived, or held by nobody who lives."""

from __future__ import annotations

from itertools import islice

from durust import clock
from durust.model.filters import Scope, SweepRequest
from durust.model.queues import GRANTS_KEPT_SECONDS
from durust.model.records import WorkflowRow
from durust.model.status import DELAYED, PENDING, TRANSITIONS, Event
from durust.model.sweeps import Swept
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.memory_tables import Tables, is_in
from durust.storage.memory_writes.executors import bury, release
from durust.storage.memory_writes.waking import arrived

# One reap is one transaction elsewhere, so its size is bounded there and here.
REAP_LIMIT = 64
# Of executors only: ids of this form are durust's, others belong to another library's processes.
OWN_PREFIX = "du:"


def sweep(tables: Tables, request: SweepRequest) -> Swept:
    """Sweep once."""
    now, most = tables.now_ms, request.limit
    deadlines = _deadlines(tables, request.scope)
    late = [key for until, key in deadlines if until <= now][:most]
    for key in late:
        tables.call_off(key, Event.EXPIRE)
    delays = _delays(tables, request.scope)
    due = [key for until, key in delays if until <= now][:most]
    queued = [tables.fall_due(key) for key in due]
    found = arrived(tables, request.scope)[:most]
    queued += [tables.fall_due(key) for key in found]
    reaped = _lapsed(tables, request) if request.reap else ()
    released = bury(tables, reaped, "its lease lapsed")
    orphans = release(tables, islice(_orphans(tables, request.scope), most))
    forgotten = _forget_grants(tables, most)
    next_due = min((until for until, _ in (*delays[len(due) :], *deadlines[len(late) :])), default=None)
    return Swept(
        due=len(due),
        reaped=reaped,
        released=len(released.workflow_ids),
        timed_out=len(late),
        arrived=len(found),
        orphans=len(orphans.workflow_ids),
        queues=released.queues | orphans.queues | {row.queue or INTERNAL_QUEUE for row in queued},
        next_due_seconds=None if next_due is None else max(0.0, (next_due - now) / 1000),
        more=most in {len(due), len(late), len(found), len(reaped), len(orphans.workflow_ids), forgotten}
        or len(reaped) == REAP_LIMIT,
    )


def _deadlines(tables: Tables, scope: Scope) -> list[tuple[int, str]]:
    """Return the deadlines that stand, the earliest first."""
    return sorted(
        (row.deadline_ms, row.workflow_id)
        for row in tables.workflows.values()
        if row.status in TRANSITIONS[Event.EXPIRE].sources and row.deadline_ms is not None and is_in(scope, row)
    )


def _delays(tables: Tables, scope: Scope) -> list[tuple[int, str]]:
    """Return the delays that somebody waits for, the earliest first."""
    return sorted(
        (row.delay_until_ms, row.workflow_id)
        for row in tables.workflows.values()
        if row.status is DELAYED and row.delay_until_ms is not None and is_in(scope, row)
    )


def _lapsed(tables: Tables, request: SweepRequest) -> tuple[str, ...]:
    now = clock.boottime()
    lapsed = sorted(
        (executor.lease_until, key)
        for key, executor in tables.executors.items()
        if executor.row.state != "DEAD"
        and executor.row.supervisor_id != request.supervisor_id
        and executor.lease_until <= now
    )
    return tuple(key for _, key in lapsed[: min(request.limit, REAP_LIMIT)])


def _orphans(tables: Tables, scope: Scope) -> list[WorkflowRow]:
    return [
        row
        for row in tables.workflows.values()
        if row.status is PENDING
        and row.executor_id is not None
        and row.executor_id.startswith(OWN_PREFIX)
        and tables.state(row.executor_id) in {None, "DEAD"}
        and is_in(scope, row)
    ]


def _forget_grants(tables: Tables, limit: int) -> int:
    """Forget at most *limit* shares that no rate counts any more and nobody runs by."""
    periods = [
        period or 0.0
        for queue in tables.queues.values()
        for period in (queue.rate_period_seconds, queue.partition_rate_period_seconds)
    ]
    kept_ms = 1000 * max(GRANTS_KEPT_SECONDS, 2 * max(periods, default=0.0))
    old = [
        token
        for token, grant in tables.grants.items()
        if grant.granted_at_ms <= tables.now_ms - kept_ms
        and (grant.ended_at_ms is not None or tables.state(grant.executor_id) in {None, "DEAD"})
    ][:limit]
    for token in old:
        del tables.grants[token]
    return len(old)
