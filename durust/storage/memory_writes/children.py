"""Children in memory: one is started and linked in its parent's history, both or neither."""

from __future__ import annotations

import json
from dataclasses import replace

from durust.model.writes import Duplicate, Existing, Outcome, Recorded, StartChild
from durust.storage.memory_tables import Kinds, Tables
from durust.storage.memory_writes.guards import keep, refused
from durust.storage.memory_writes.starts import start


def start_child(tables: Tables, write: StartChild) -> Outcome:
    """Start a child of a run, or attach the run to the one that is there."""
    if refusal := refused(tables, write):
        return refusal
    name = write.start.name
    outcome = start(tables, replace(write.start, parent_id=write.lease.workflow_id))
    match outcome:
        case Recorded():
            child_id = write.start.workflow_id
        case Existing(row) if row.name == name:
            child_id = row.workflow_id
        case Duplicate(holder) if write.attaches and tables.workflows[holder].name == name:
            child_id = holder
        case _:
            return outcome
    keep(tables, write, name, json.dumps(child_id, ensure_ascii=False), child_id=child_id)
    return Recorded(workflow_id=child_id)


KINDS: Kinds = {
    StartChild: start_child,
}
