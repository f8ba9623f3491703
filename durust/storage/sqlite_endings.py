"""How runs end on SQLite: with a result, set aside, given back, or cancelled at their deadline."""

from __future__ import annotations

from durust.model.writes import (
    INTERNAL_QUEUE,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    HandBack,
    Outcome,
    ParkWorkflow,
    Recorded,
)
from durust.storage.links import Param
from durust.storage.sqlite_guard import explain, guard
from durust.storage.sqlite_statements import SQL, Transaction
from durust.storage.sqlite_wakes import wake


def finish(transaction: Transaction, write: FinishWorkflow) -> Outcome:
    """End a run."""
    params: dict[str, Param] = {"status": str(write.status), "format": write.serialization}
    if not transaction.change(SQL.finish_workflows, guard(write) | params):
        return explain(transaction, write) or Recorded()
    values = {"id": write.lease.workflow_id, "output": write.output, "error": write.error}
    transaction.change(SQL.store_outputs, values)
    return Recorded()


def park(transaction: Transaction, write: ParkWorkflow) -> Outcome:
    """Set a run aside until what it waits for has come."""
    params: dict[str, Param] = {"until": write.until_ms, "internal": INTERNAL_QUEUE}
    if not transaction.change(SQL.park_workflows, guard(write) | params):
        return explain(transaction, write) or Fenced()
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


def hand_back(transaction: Transaction, write: HandBack) -> Outcome:
    """Give a run back to its queue."""
    changed = transaction.change(SQL.hand_back_workflows, {**guard(write), "internal": INTERNAL_QUEUE})
    return Recorded() if changed else explain(transaction, write) or Fenced()


def expire(transaction: Transaction, write: ExpireWorkflow) -> Outcome:
    """Cancel a run whose deadline has passed."""
    changed = transaction.change(SQL.expire_workflows, guard(write))
    return Recorded() if changed else explain(transaction, write) or Fenced()
