"""What is noted of a workflow in memory: its attributes, and the role by which it was let in."""

from __future__ import annotations

from dataclasses import replace

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import merge
from durust.model.writes import AssumeRole, Missing, Outcome, Recorded
from durust.storage.memory_tables import Kinds, Tables
from durust.storage.memory_writes.guards import fenced, keep, refused


def set_attributes(tables: Tables, write: SetAttributes) -> Outcome:
    """Change the attributes of a workflow from outside."""
    if write.workflow_id not in tables.workflows:
        return Missing()
    _merge(tables, write.workflow_id, write.patch)
    return Recorded()


def record_attributes(tables: Tables, write: RecordAttributes) -> Outcome:
    """Change the attributes of a run's own workflow, and record it."""
    if refusal := refused(tables, write):
        return refusal
    keep(tables, write, write.name)
    _merge(tables, write.lease.workflow_id, write.patch)
    return Recorded()


def _merge(tables: Tables, workflow_id: str, patch: str) -> None:
    row = tables.workflows[workflow_id]
    merged = merge(row.attributes, patch)
    tables.workflows[workflow_id] = replace(row, attributes=merged, updated_at_ms=tables.now_ms)


def assume_role(tables: Tables, write: AssumeRole) -> Outcome:
    """Note by which role a run was let in."""
    if other := fenced(tables, write.lease):
        return other
    workflow_id = write.lease.workflow_id
    tables.workflows[workflow_id] = replace(tables.workflows[workflow_id], assumed_role=write.role)
    return Recorded()


KINDS: Kinds = {
    SetAttributes: set_attributes,
    RecordAttributes: record_attributes,
    AssumeRole: assume_role,
}
