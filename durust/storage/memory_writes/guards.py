"""The guard of a run's writes in memory: who may write, and what gets a place in the run's history."""

from __future__ import annotations

from durust.model.attribute_writes import RecordAttributes
from durust.model.message_writes import ReceiveMessage, RecordSend
from durust.model.publications import Publication
from durust.model.records import Checkpoint, Lease
from durust.model.status import PENDING
from durust.model.writes import (
    ChainedWrite,
    Diverged,
    Fenced,
    HistoryLost,
    Outcome,
    PlacedWrite,
    RecordStep,
    StartChild,
)
from durust.storage.memory_tables import PORTABLE, Tables
from durust.storage.retries import own_retry


def fenced(tables: Tables, lease: Lease) -> Fenced | None:
    """Answer the guard: only the run whose claim stands may write."""
    row = tables.workflows.get(lease.workflow_id)
    if row is None or row.status is not PENDING:
        return Fenced()
    is_mine = (row.executor_id, row.token) == (lease.executor_id, lease.token)
    return None if is_mine else Fenced(row.executor_id)


def is_lost(tables: Tables, write: ChainedWrite) -> bool:
    """Answer the chain condition: whether the record that the run saw committed last is gone."""
    return write.after is not None and write.after not in tables.history.get(write.lease.workflow_id, {})


def refused(tables: Tables, write: PlacedWrite) -> Outcome | None:
    """Return why a record does not get its place, or that it has it already."""
    old = tables.history.get(write.lease.workflow_id, {}).get(write.place)
    if own := own_retry(write, old):
        return own
    if other := fenced(tables, write.lease):
        return other
    if old is not None:
        return Diverged(old)
    return HistoryLost() if is_lost(tables, write) else None


def keep(
    tables: Tables,
    write: RecordStep | RecordAttributes | Publication | RecordSend | ReceiveMessage | StartChild,
    name: str,
    output: str | None = None,
    error: str | None = None,
    serialization: str | None = PORTABLE,
    child_id: str | None = None,
) -> None:
    """Record a write that nothing stands in the way of."""
    tables.history.setdefault(write.lease.workflow_id, {})[write.place] = Checkpoint(
        place=write.place,
        name=name,
        output=output,
        error=error,
        serialization=serialization,
        child_id=child_id,
        started_at_ms=write.started_at_ms,
        completed_at_ms=write.completed_at_ms,
        claim=write.lease.token,
    )
