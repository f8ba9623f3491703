"""Removals on SQLite: a workflow goes with all that is its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from durust.model.writes import DeleteWorkflow, Missing, Outcome, Recorded
from durust.storage import statements
from durust.storage.links import Param
from durust.storage.statements import Statement

SQL = statements.load("sqlite")

# What belongs to a workflow, the workflow itself last.
PARTS = (
    SQL.purge_steps,
    SQL.purge_inputs,
    SQL.purge_outputs,
    SQL.purge_events,
    SQL.purge_past_events,
    SQL.purge_streams,
    SQL.purge_messages,
    SQL.purge_waits,
    SQL.purge_workflows,
)


class Transaction(Protocol):
    """An open write transaction."""

    def change(self, statement: Statement, params: Mapping[str, Param]) -> int:
        """Run a statement and return how many rows it changed."""


def delete(transaction: Transaction, write: DeleteWorkflow) -> Outcome:
    """Remove a workflow, whatever it does."""
    ids = json.dumps([write.workflow_id], ensure_ascii=False)
    changed = [transaction.change(part, {"ids": ids}) for part in PARTS]
    return Recorded() if changed[-1] else Missing()
