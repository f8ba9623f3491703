"""Forks on SQLite, each inside one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from durust.model.writes import INTERNAL_QUEUE, Existing, ForkWorkflow, Missing, Outcome, Recorded
from durust.storage import rows, statements
from durust.storage.links import Param, Row
from durust.storage.statements import Statement

SQL = statements.load("sqlite")

# What goes along, in an order in which each finds what it looks at.
_PARTS = (
    SQL.mark_forked,
    SQL.fork_inputs,
    SQL.fork_steps,
    SQL.fork_past_events,
    SQL.fork_events,
    SQL.fork_streams,
)


class Transaction(Protocol):
    """An open write transaction."""

    def rows(self, statement: Statement, params: Mapping[str, Param]) -> list[Row]:
        """Run a statement and return its rows."""

    def change(self, statement: Statement, params: Mapping[str, Param]) -> int:
        """Run a statement and return how many rows it changed."""


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
        return _standing(transaction, write)
    for part in _PARTS:
        transaction.change(part, values)
    return Recorded()


def _standing(transaction: Transaction, write: ForkWorkflow) -> Outcome:
    """Return what stands in the way of a fork: its id is taken, or there is no source."""
    [(_, *record)] = transaction.rows(SQL.classify_starts, {"id": write.fork_id, "queue": None, "dedup": None})
    if record[0] is None:
        return Missing()
    standing = rows.workflow(record)
    return Recorded() if standing.creator == write.creator else Existing(standing)
