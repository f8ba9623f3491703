"""Runs that are set aside in memory until what they wait for has come."""

from __future__ import annotations

from dataclasses import replace

from durust.model.status import Event
from durust.model.writes import HistoryLost, Outcome, ParkWorkflow, Recorded
from durust.storage.memory_tables import Kinds, Tables
from durust.storage.memory_writes.guards import fenced, is_lost
from durust.storage.memory_writes.waking import has_arrived


def park(tables: Tables, write: ParkWorkflow) -> Outcome:
    """Set a run aside until what it waits for has come."""
    if other := fenced(tables, write.lease):
        return other
    if is_lost(tables, write):
        return HistoryLost()
    row = tables.unwind(write.lease, Event.PARK)
    tables.waits[row.workflow_id] = write.waits
    tables.workflows[row.workflow_id] = replace(row, delay_until_ms=write.until_ms)
    # What is waited for may have come before the run was set aside: nobody would look at it again at once.
    is_due = write.until_ms is not None and write.until_ms <= tables.now_ms
    if is_due or any(has_arrived(tables, wait) for wait in write.waits):
        tables.fall_due(row.workflow_id)
    return Recorded()


KINDS: Kinds = {
    ParkWorkflow: park,
}
