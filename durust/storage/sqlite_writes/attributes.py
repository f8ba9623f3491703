"""What is noted of a workflow on SQLite: its attributes, and the role by which it was let in."""

from __future__ import annotations

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import merge
from durust.model.writes import AssumeRole, Fenced, Missing, Outcome, Recorded
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, guard, keep


def set_attributes(transaction: Transaction, write: SetAttributes) -> Outcome:
    """Change the attributes of a workflow from outside."""
    return _merge(transaction, write.workflow_id, write.patch)


def record_attributes(transaction: Transaction, write: RecordAttributes) -> Outcome:
    """Change the attributes of a run's own workflow, and record it."""
    if not keep(transaction, write, write.name):
        return explain(transaction, write) or Recorded()
    return _merge(transaction, write.lease.workflow_id, write.patch)


def _merge(transaction: Transaction, workflow_id: str, patch: str) -> Outcome:
    for (standing,) in transaction.rows(SQL.find_attributes, {"id": workflow_id}):
        transaction.change(SQL.set_attributes, {"id": workflow_id, "attributes": merge(standing, patch)})
        return Recorded()
    return Missing()


def assume_role(transaction: Transaction, write: AssumeRole) -> Outcome:
    """Note by which role a run was let in."""
    if transaction.change(SQL.assume_roles, guard(write) | {"role": write.role}):
        return Recorded()
    return explain(transaction, write) or Fenced()


KINDS: Kinds = {
    SetAttributes: set_attributes,
    RecordAttributes: record_attributes,
    AssumeRole: assume_role,
}
