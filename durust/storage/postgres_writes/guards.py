"""What the writes of a run have in common on Postgres: the columns of their guard, and why one was refused."""

from __future__ import annotations

from collections.abc import Sequence

from durust.model.records import Lease
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
from durust.storage import rows, statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.kinds import Answers, Group, Question, Results, explained
from durust.storage.retries import RECORDED, own_retry

SQL = statements.load("postgres")


def leased(leases: Sequence[Lease]) -> Params:
    """Return the columns of leases."""
    return {
        "ids": texts(lease.workflow_id for lease in leases),
        "tokens": texts(lease.token for lease in leases),
        "executors": texts(lease.executor_id for lease in leases),
    }


def chained(writes: Sequence[ChainedWrite]) -> Params:
    """Return the columns by which runs are guarded."""
    return leased([write.lease for write in writes]) | {"afters": numbers(write.after for write in writes)}


def classify_runs(writes: Sequence[RunWrite]) -> Params:
    """Return the columns that ask what stands for the writes of runs."""
    return {
        "ids": texts(write.lease.workflow_id for write in writes),
        "places": numbers(write.place if isinstance(write, PlacedWrite) else None for write in writes),
        "afters": numbers(write.after if isinstance(write, ChainedWrite) else None for write in writes),
    }


def explain(write: RunWrite, row: Row) -> Outcome | None:
    """Return why a run's write did not come back, or None when it should be sent again."""
    status, executor_id, token, left_ms, is_chained, *record = row
    lease = write.lease
    standing = None if record[0] is None else rows.checkpoint(record)
    if own := own_retry(write, standing):
        return own
    if isinstance(write, FinishWorkflow) and token == lease.token and recorded(status).is_terminal:
        return Recorded()
    if status != PENDING or (executor_id, token) != (lease.executor_id, lease.token):
        return Fenced(executor_id if status == PENDING else None)
    if isinstance(write, ExpireWorkflow):
        return Unexpired(left_ms) if left_ms is None or left_ms > 0 else None
    if standing is not None:
        return Diverged(standing)
    return None if is_chained else HistoryLost()


RUNS = Question(calls=lambda writes: [Call(SQL.classify_runs, classify_runs(writes))], read=explained(explain))
"""Why a write that is guarded by its run did not come back."""


def place_of(write: PlacedWrite) -> tuple[str, int]:
    """Return the key of a record."""
    return write.lease.workflow_id, write.place


def id_of(write: RunWrite) -> str:
    """Return the key of a run."""
    return write.lease.workflow_id


def recorded_places(found: Group, results: Results) -> Answers:
    """Answer the records whose place came back, with what the database computed for them."""
    came_back = {(row[0], row[1]): row[2:] for row in results[0]}
    return {
        index: Recorded(output=came_back[key][0]) if came_back[key] else RECORDED
        for index, write in found
        if (key := place_of(write)) in came_back
    }


def recorded_runs(found: Group, results: Results) -> Answers:
    """Answer the writes whose workflow came back."""
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.lease.workflow_id in came_back}
