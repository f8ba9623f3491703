"""Debounced starts on SQLite: one run waits under a key, and each further start hands it its own words."""

from __future__ import annotations

from durust.model.writes import DebounceWorkflow, Outcome, Recorded
from durust.storage.sqlite_statements import SQL, Transaction
from durust.storage.sqlite_writes.starts import explain_start, start_values


def debounce(transaction: Transaction, write: DebounceWorkflow) -> Outcome:
    """Hand a start to the run that waits for it, or let a new run begin to wait."""
    begun, limit = write.start, write.limit_seconds
    values = start_values(begun) | {
        "period": round(write.period_seconds * 1000),
        "latest": None if limit is None else transaction.now_ms + round(limit * 1000),
    }
    for (own,) in transaction.rows(SQL.find_debounce, values):
        return Recorded(workflow_id=own)
    transaction.change(SQL.queue_overdue, values)
    found = transaction.rows(SQL.bounce_workflows, values) or transaction.rows(SQL.debounce_workflows, values)
    for (workflow_id,) in found:
        transaction.change(SQL.store_inputs, {"id": workflow_id, "inputs": begun.inputs})
        return Recorded(workflow_id=workflow_id)
    return explain_start(transaction, begun, values)
