"""How runs end in memory: with a result, set aside, given back, or cancelled at their deadline."""

from __future__ import annotations

from dataclasses import replace

from durust.model.records import Lease, WorkflowRow
from durust.model.status import Event, finishing_event
from durust.model.writes import (
    ExpireWorkflow,
    FinishWorkflow,
    HandBack,
    HistoryLost,
    Outcome,
    ParkWorkflow,
    Recorded,
    Unexpired,
)
from durust.storage.memory_guard import fenced, is_lost
from durust.storage.memory_tables import Tables
from durust.storage.memory_wakes import has_arrived


def finish(tables: Tables, write: FinishWorkflow) -> Outcome:
    """End a run."""
    row = tables.workflows.get(write.lease.workflow_id)
    if row is not None and row.status.is_terminal and row.token == write.lease.token:
        return Recorded()
    if other := fenced(tables, write.lease):
        return other
    if is_lost(tables, write):
        return HistoryLost()
    tables.move(
        write.lease.workflow_id,
        finishing_event(write.status),
        dedup_id=None,
        completed_at_ms=tables.now_ms,
        updated_at_ms=tables.now_ms,
        serialization=write.serialization,
        output=write.output,
        error=write.error,
    )
    return Recorded()


def park(tables: Tables, write: ParkWorkflow) -> Outcome:
    """Set a run aside until what it waits for has come."""
    if other := fenced(tables, write.lease):
        return other
    if is_lost(tables, write):
        return HistoryLost()
    row = _unwind(tables, write.lease, Event.PARK)
    tables.waits[row.workflow_id] = write.waits
    tables.workflows[row.workflow_id] = replace(row, delay_until_ms=write.until_ms)
    # What is waited for may have come before the run was set aside: nobody would look at it again at once.
    is_due = write.until_ms is not None and write.until_ms <= tables.now_ms
    if is_due or any(has_arrived(tables, wait) for wait in write.waits):
        tables.fall_due(row.workflow_id)
    return Recorded()


def hand_back(tables: Tables, write: HandBack) -> Outcome:
    """Give a run back to its queue."""
    if other := fenced(tables, write.lease):
        return other
    _unwind(tables, write.lease, Event.HAND_BACK)
    return Recorded()


def _unwind(tables: Tables, lease: Lease, event: Event) -> WorkflowRow:
    """Take a run off its owner by the owner's own will, which costs no attempt."""
    attempts = tables.workflows[lease.workflow_id].attempts - 1
    return tables.disown(lease.workflow_id, event, attempts=attempts, updated_at_ms=tables.now_ms)


def expire(tables: Tables, write: ExpireWorkflow) -> Outcome:
    """Cancel a run whose deadline has passed."""
    if other := fenced(tables, write.lease):
        return other
    deadline_ms = tables.workflows[write.lease.workflow_id].deadline_ms
    if deadline_ms is None or deadline_ms > tables.now_ms:
        return Unexpired(None if deadline_ms is None else deadline_ms - tables.now_ms)
    tables.call_off(write.lease.workflow_id, Event.EXPIRE)
    return Recorded()
