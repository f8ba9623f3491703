"""Orders to workflows on SQLite, whoever runs them: to go on, to come later, to be gone."""

from __future__ import annotations

import json

from durust.model.status import ENQUEUED
from durust.model.writes import (
    INTERNAL_QUEUE,
    DeleteWorkflow,
    Existing,
    Missing,
    Outcome,
    Recorded,
    ResumeWorkflow,
    SetDelay,
)
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.starts import explain_order

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


def resume(transaction: Transaction, write: ResumeWorkflow) -> Outcome:
    """Queue a workflow again."""
    values: dict[str, Param] = {"id": write.workflow_id, "queue": write.queue, "internal": INTERNAL_QUEUE}
    if not transaction.change(SQL.resume_workflows, values):
        return explain_order(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, values)
    transaction.change(SQL.forget_outputs, values)
    return Recorded()


def set_delay(transaction: Transaction, write: SetDelay) -> Outcome:
    """Let a delayed workflow be due at another time."""
    lasting = round(write.delay_seconds * 1000)
    values: dict[str, Param] = {"id": write.workflow_id, "lasting": lasting, "internal": INTERNAL_QUEUE}
    if transaction.change(SQL.set_delays, values):
        return Recorded()
    outcome = explain_order(transaction, write.workflow_id)
    is_queued = isinstance(outcome, Existing) and outcome.row.status is ENQUEUED
    return Recorded() if is_queued and lasting <= 0 else outcome


def delete(transaction: Transaction, write: DeleteWorkflow) -> Outcome:
    """Remove a workflow, whatever it does."""
    ids = json.dumps([write.workflow_id], ensure_ascii=False)
    changed = [transaction.change(part, {"ids": ids}) for part in PARTS]
    return Recorded() if changed[-1] else Missing()


KINDS: Kinds = {
    ResumeWorkflow: resume,
    SetDelay: set_delay,
    DeleteWorkflow: delete,
}
