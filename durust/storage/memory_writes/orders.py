"""Orders to workflows in memory, whoever runs them: to go on, to come later, to be gone."""

from __future__ import annotations

from dataclasses import replace

from durust.model.status import DELAYED, ENQUEUED, TRANSITIONS, Event
from durust.model.writes import (
    DeleteWorkflow,
    Existing,
    Missing,
    Outcome,
    Recorded,
    ResumeWorkflow,
    SetDelay,
)
from durust.storage.memory_tables import Kinds, Tables, bare


def resume(tables: Tables, write: ResumeWorkflow) -> Outcome:
    """Queue a workflow again."""
    row = tables.workflows.get(write.workflow_id)
    if row is None:
        return Missing()
    if row.status not in TRANSITIONS[Event.RESUME].sources:
        return Existing(bare(row))
    tables.waits.pop(write.workflow_id, None)
    tables.workflows[write.workflow_id] = replace(row, queue=write.queue or row.queue)
    tables.disown(
        write.workflow_id,
        Event.RESUME,
        attempts=0,
        dedup_id=None,
        deadline_ms=None,
        delay_until_ms=None,
        completed_at_ms=None,
        updated_at_ms=tables.now_ms,
        output=None,
        error=None,
    )
    return Recorded()


def set_delay(tables: Tables, write: SetDelay) -> Outcome:
    """Let a delayed workflow be due at another time."""
    row = tables.workflows.get(write.workflow_id)
    if row is None:
        return Missing()
    delay_ms = round(write.delay_seconds * 1000)
    if row.status is ENQUEUED and delay_ms <= 0:
        return Recorded()
    if row.status is not DELAYED or row.workflow_id in tables.waits:
        return Existing(bare(row))
    if delay_ms <= 0:
        tables.fall_due(row.workflow_id)
    else:
        until = tables.now_ms + delay_ms
        tables.workflows[row.workflow_id] = replace(row, delay_until_ms=until, updated_at_ms=tables.now_ms)
    return Recorded()


def delete(tables: Tables, write: DeleteWorkflow) -> Outcome:
    """Remove a workflow, whatever it does."""
    if write.workflow_id not in tables.workflows:
        return Missing()
    tables.forget(write.workflow_id)
    return Recorded()


KINDS: Kinds = {
    ResumeWorkflow: resume,
    SetDelay: set_delay,
    DeleteWorkflow: delete,
}
