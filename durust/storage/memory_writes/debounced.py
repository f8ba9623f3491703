"""Debounced starts in memory: one run waits under a key, and each further start hands it its own words."""

from __future__ import annotations

from dataclasses import replace

from durust.model.records import WorkflowRow
from durust.model.status import DELAYED
from durust.model.writes import INTERNAL_QUEUE, DebounceWorkflow, Outcome, Recorded, StartWorkflow
from durust.storage.memory_tables import Tables
from durust.storage.memory_writes.starts import start


def debounce(tables: Tables, write: DebounceWorkflow) -> Outcome:
    """Hand a start to the run that waits for it, or let a new run begin to wait."""
    begun = write.start
    if own := next((key for key in tables.debounced if tables.workflows[key].creator == begun.creator), None):
        return Recorded(workflow_id=own)
    until = tables.now_ms + round(write.period_seconds * 1000)
    waiting = _waiting(tables, begun)
    if waiting is not None and (waiting.delay_until_ms or 0) <= tables.now_ms:
        tables.fall_due(waiting.workflow_id)
    elif waiting is not None:
        _hand_over(tables, waiting, begun, until)
        return Recorded(workflow_id=waiting.workflow_id)
    outcome = start(tables, begun)
    if isinstance(outcome, Recorded):
        limit = write.limit_seconds
        latest = None if limit is None else tables.now_ms + round(limit * 1000)
        row = tables.workflows[begun.workflow_id]
        tables.workflows[begun.workflow_id] = replace(row, status=DELAYED, delay_until_ms=_earlier(until, latest))
        tables.debounced[begun.workflow_id] = latest
        return Recorded(workflow_id=begun.workflow_id)
    return outcome


def _waiting(tables: Tables, begun: StartWorkflow) -> WorkflowRow | None:
    """Return the debounced run that waits for what *begun* says, whether its time has come or not."""
    queue = begun.queue or INTERNAL_QUEUE
    for row in (tables.workflows[key] for key in tables.debounced):
        is_there = row.status is DELAYED and (row.queue, row.dedup_id) == (queue, begun.dedup_id)
        if is_there and row.name == begun.name and row.app_name in {None, begun.app_name}:
            return row
    return None


def _hand_over(tables: Tables, waiting: WorkflowRow, begun: StartWorkflow, until_ms: int) -> None:
    """Let *waiting* take over all that *begun* says, but for its id, and wait on."""
    tables.workflows[waiting.workflow_id] = replace(
        waiting,
        creator=begun.creator,
        app_name=begun.app_name,
        app_version=begun.app_version,
        inputs=begun.inputs,
        serialization=begun.serialization,
        priority=begun.priority,
        timeout_ms=begun.timeout_ms,
        deadline_ms=begun.deadline_ms,
        partition_key=begun.partition_key,
        schedule_name=begun.schedule_name,
        parent_id=begun.parent_id,
        authenticated_user=begun.authenticated_user,
        authenticated_roles=begun.authenticated_roles,
        attributes=begun.attributes,
        delay_until_ms=_earlier(until_ms, tables.debounced[waiting.workflow_id]),
        updated_at_ms=tables.now_ms,
    )


def _earlier(instant_ms: int, other_ms: int | None) -> int:
    return instant_ms if other_ms is None else min(instant_ms, other_ms)
