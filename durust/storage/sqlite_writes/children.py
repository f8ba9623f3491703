"""Children on SQLite: one is started and linked in its parent's history, both or neither."""

from __future__ import annotations

from dataclasses import replace

from durust.model.writes import Duplicate, Existing, Outcome, Recorded, StartChild
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, guard
from durust.storage.sqlite_writes.starts import standing, start


def start_child(transaction: Transaction, write: StartChild) -> Outcome:
    """Start a child of a run, or attach the run to the one that is there."""
    if (refusal := explain(transaction, write)) is not None:
        return refusal
    begun = replace(write.start, parent_id=write.lease.workflow_id)
    child_id: str
    match outcome := start(transaction, begun):
        case Recorded():
            child_id = begun.workflow_id
        case Existing(row) if row.name == begun.name:
            child_id = row.workflow_id
        case Duplicate(holder) if write.attaches and _is_named(transaction, holder, begun.name):
            child_id = holder
        case _:
            return outcome
    link: dict[str, Param] = {
        "place": write.place,
        "child": child_id,
        "started": write.started_at_ms,
        "completed": write.completed_at_ms,
    }
    transaction.change(SQL.start_children, guard(write) | link)
    return Recorded(workflow_id=child_id)


def _is_named(transaction: Transaction, workflow_id: str, name: str) -> bool:
    row = standing(transaction, workflow_id)
    return row is not None and row.name == name


KINDS: Kinds = {
    StartChild: start_child,
}
