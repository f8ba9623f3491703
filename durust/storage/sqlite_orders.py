"""Orders to workflows on SQLite, whoever runs them: cancel, resume, another delay, away with it."""

from __future__ import annotations

import json

from durust.model.status import ENQUEUED
from durust.model.writes import (
    INTERNAL_QUEUE,
    CalledOff,
    CancelWorkflow,
    DeleteWorkflow,
    Existing,
    Missing,
    Outcome,
    Recorded,
    ResumeWorkflow,
    SetDelay,
)
from durust.storage.links import Param
from durust.storage.sqlite_starts import standing
from durust.storage.sqlite_statements import SQL, Transaction

# What belongs to a workflow, the workflow itself last.
PARTS = (
    SQL.purge_steps,
    SQL.purge_inputs,
    SQL.purge_outputs,
    SQL.purge_events,
    SQL.purge_past_events,
    SQL.purge_streams,
    SQL.purge_messages,
    SQL.purge_waits,
    SQL.purge_workflows,
)


def cancel(transaction: Transaction, write: CancelWorkflow) -> Outcome:
    """Cancel a workflow, alone or with what came of it."""
    if write.children:
        ended = sorted(row[0] for row in transaction.rows(SQL.cancel_trees, {"id": write.workflow_id}))
        for workflow_id in ended:
            transaction.change(SQL.forget_waits, {"id": workflow_id})
        is_missing = not ended and standing(transaction, write.workflow_id) is None
        return Missing() if is_missing else CalledOff(tuple(ended))
    if not transaction.change(SQL.cancel_workflows, {"id": write.workflow_id}):
        return _unmoved(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, {"id": write.workflow_id})
    return Recorded()


def resume(transaction: Transaction, write: ResumeWorkflow) -> Outcome:
    """Queue a workflow again."""
    values: dict[str, Param] = {"id": write.workflow_id, "queue": write.queue, "internal": INTERNAL_QUEUE}
    if not transaction.change(SQL.resume_workflows, values):
        return _unmoved(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, values)
    transaction.change(SQL.forget_outputs, values)
    return Recorded()


def set_delay(transaction: Transaction, write: SetDelay) -> Outcome:
    """Let a delayed workflow be due at another time."""
    lasting = round(write.delay_seconds * 1000)
    values: dict[str, Param] = {"id": write.workflow_id, "lasting": lasting, "internal": INTERNAL_QUEUE}
    if transaction.change(SQL.set_delays, values):
        return Recorded()
    outcome = _unmoved(transaction, write.workflow_id)
    is_queued = isinstance(outcome, Existing) and outcome.row.status is ENQUEUED
    return Recorded() if is_queued and lasting <= 0 else outcome


def _unmoved(transaction: Transaction, workflow_id: str) -> Outcome:
    """Return what stands in the way of an order that changed nothing."""
    row = standing(transaction, workflow_id)
    return Missing() if row is None else Existing(row)


def delete(transaction: Transaction, write: DeleteWorkflow) -> Outcome:
    """Remove a workflow, whatever it does."""
    ids = json.dumps([write.workflow_id], ensure_ascii=False)
    changed = [transaction.change(part, {"ids": ids}) for part in PARTS]
    return Recorded() if changed[-1] else Missing()
