"""Runs that are set aside on SQLite until what they wait for has come."""

from __future__ import annotations

from durust.model.writes import INTERNAL_QUEUE, Fenced, Outcome, ParkWorkflow, Recorded
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, guard
from durust.storage.sqlite_writes.waking import wake


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


KINDS: Kinds = {
    ParkWorkflow: park,
}
