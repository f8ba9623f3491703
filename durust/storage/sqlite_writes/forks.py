"""Forks on SQLite: a new workflow begins with what another one recorded before a place."""

from __future__ import annotations

import json

from durust.model.writes import INTERNAL_QUEUE, Existing, ForkWorkflow, Missing, Outcome, Recorded
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.starts import standing

# What goes along, in an order in which each finds what it looks at.
_PARTS = (
    SQL.mark_forked,
    SQL.fork_inputs,
    SQL.fork_steps,
    SQL.fork_past_events,
    SQL.fork_events,
    SQL.fork_streams,
)


def fork(transaction: Transaction, write: ForkWorkflow) -> Outcome:
    """Queue a new workflow that has what its source recorded before a place."""
    values: dict[str, Param] = {
        "id": write.workflow_id,
        "fork": write.fork_id,
        "place": write.start_place,
        "creator": write.creator,
        "version": write.app_version,
        "queue": write.queue or INTERNAL_QUEUE,
        "partition": write.partition_key,
        "timeout": write.timeout_ms,
        "children": json.dumps(write.children, ensure_ascii=False),
    }
    if not transaction.change(SQL.fork_workflows, values):
        known = standing(transaction, write.fork_id)
        if known is None:
            return Missing()
        return Recorded() if known.creator == write.creator else Existing(known)
    for part in _PARTS:
        transaction.change(part, values)
    return Recorded()


KINDS: Kinds = {
    ForkWorkflow: fork,
}
