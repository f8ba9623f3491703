"""Cancels in memory, of one workflow or of all that it led to."""

from __future__ import annotations

from durust.model.status import TRANSITIONS, Event
from durust.model.writes import CalledOff, CancelWorkflow, Existing, Missing, Outcome, Recorded
from durust.storage.memory_tables import Kinds, Tables, bare


def cancel(tables: Tables, write: CancelWorkflow) -> Outcome:
    """Cancel a workflow, alone or with what came of it."""
    row = tables.workflows.get(write.workflow_id)
    if write.children:
        # Also of a workflow that was deleted: its children still name it.
        called_off = _cascade(tables, write.workflow_id)
        return called_off if called_off.workflow_ids or row is not None else Missing()
    if row is None:
        return Missing()
    if row.status not in TRANSITIONS[Event.CANCEL].sources:
        return Existing(bare(row))
    tables.call_off(write.workflow_id, Event.CANCEL)
    return Recorded()


def _cascade(tables: Tables, root: str) -> CalledOff:
    tree, level = {root}, {root}
    while level:
        level = {row.workflow_id for row in tables.workflows.values() if row.parent_id in level} - tree
        tree |= level
    standing = [key for key in sorted(tree) if key in tables.workflows]
    ended = [key for key in standing if tables.workflows[key].status in TRANSITIONS[Event.CANCEL].sources]
    for key in ended:
        tables.call_off(key, Event.CANCEL)
    return CalledOff(tuple(ended))


KINDS: Kinds = {
    CancelWorkflow: cancel,
}
