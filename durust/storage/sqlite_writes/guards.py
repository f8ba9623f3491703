"""The guard of a run's writes on SQLite: what each carries, and what stands where one did not count."""

from __future__ import annotations

from durust.model.attribute_writes import RecordAttributes
from durust.model.message_writes import ReceiveMessage, RecordSend
from durust.model.publications import Publication
from durust.model.status import PENDING, recorded
from durust.model.writes import (
    ChainedWrite,
    Diverged,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    HistoryLost,
    Outcome,
    PlacedWrite,
    Recorded,
    RunWrite,
    Unexpired,
)
from durust.storage import rows
from durust.storage.links import Param
from durust.storage.retries import own_retry
from durust.storage.sqlite_statements import PORTABLE, SQL, Transaction


def guard(write: RunWrite) -> dict[str, Param]:
    """Return whose claim has to stand, and behind which record."""
    lease = write.lease
    mine: dict[str, Param] = {"id": lease.workflow_id, "executor": lease.executor_id, "token": lease.token}
    return mine | {"after": write.after} if isinstance(write, ChainedWrite) else mine


def keep(
    transaction: Transaction,
    write: RecordAttributes | Publication | RecordSend | ReceiveMessage,
    name: str,
    output: str | None = None,
    serialization: str | None = PORTABLE,
) -> bool:
    """Record a write at its place; return whether nothing stood in its way."""
    record: dict[str, Param] = {
        "place": write.place,
        "name": name,
        "output": output,
        "error": None,
        "format": serialization,
        "started": write.started_at_ms,
        "completed": write.completed_at_ms,
    }
    return transaction.change(SQL.record_steps, guard(write) | record) > 0


def explain(transaction: Transaction, write: RunWrite) -> Outcome | None:
    """Return what stands for a run's write, or None when nothing speaks against it."""
    place = write.place if isinstance(write, PlacedWrite) else None
    [(status, executor_id, token, left_ms, is_chained, *record)] = transaction.rows(
        SQL.classify_runs, {"after": None} | guard(write) | {"place": place}
    )
    lease = write.lease
    standing = None if record[0] is None else rows.checkpoint(record)
    if own := own_retry(write, standing):
        return own
    if isinstance(write, FinishWorkflow) and token == lease.token and recorded(status).is_terminal:
        return Recorded()
    if status != PENDING or (executor_id, token) != (lease.executor_id, lease.token):
        return Fenced(executor_id if status == PENDING else None)
    if isinstance(write, ExpireWorkflow):
        return Unexpired(left_ms)
    if standing is not None:
        return Diverged(standing)
    return None if is_chained else HistoryLost()
