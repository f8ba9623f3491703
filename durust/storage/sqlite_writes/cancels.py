"""Cancels on SQLite, of one workflow or of all that it led to."""

from __future__ import annotations

from durust.model.writes import CalledOff, CancelWorkflow, Missing, Outcome, Recorded
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.starts import explain_order, standing


def cancel(transaction: Transaction, write: CancelWorkflow) -> Outcome:
    """Cancel a workflow, alone or with what came of it."""
    if write.children:
        ended = sorted(row[0] for row in transaction.rows(SQL.cancel_trees, {"id": write.workflow_id}))
        for workflow_id in ended:
            transaction.change(SQL.forget_waits, {"id": workflow_id})
        is_missing = not ended and standing(transaction, write.workflow_id) is None
        return Missing() if is_missing else CalledOff(tuple(ended))
    if not transaction.change(SQL.cancel_workflows, {"id": write.workflow_id}):
        return explain_order(transaction, write.workflow_id)
    transaction.change(SQL.forget_waits, {"id": write.workflow_id})
    return Recorded()


KINDS: Kinds = {
    CancelWorkflow: cancel,
}
