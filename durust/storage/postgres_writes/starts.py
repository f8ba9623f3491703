"""Starts of workflows on Postgres."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence

from durust.errors import ProviderUnavailable
from durust.model.writes import INTERNAL_QUEUE, Duplicate, Existing, Fenced, Outcome, Recorded, StartWorkflow
from durust.storage import rows, statements
from durust.storage.columns import Params, milliseconds, numbers, texts
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.kinds import ROUNDS_MAX, Answers, Group, Kind, Question, Results, explained

SQL = statements.load("postgres")


def queue_of(write: StartWorkflow) -> str | None:
    """Return the queue that a start's row stands on; a direct start without one is on none."""
    return write.queue if write.lease else write.queue or INTERNAL_QUEUE


def start_workflows(writes: Sequence[StartWorkflow]) -> Params:
    """Return the columns of new workflows."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "names": texts(write.name for write in writes),
        "queues": texts(queue_of(write) for write in writes),
        "priorities": numbers(write.priority for write in writes),
        "dedups": texts(write.dedup_id for write in writes),
        "delays": numbers(0 if write.lease else milliseconds(write.delay_seconds) for write in writes),
        "versions": texts(write.app_version for write in writes),
        "apps": texts(write.app_name for write in writes),
        "formats": texts(write.serialization for write in writes),
        "creators": texts(write.creator for write in writes),
        "executors": texts(write.lease.executor_id if write.lease else None for write in writes),
        "tokens": texts(write.lease.token if write.lease else None for write in writes),
        "timeouts": numbers(write.timeout_ms for write in writes),
        "deadlines": numbers(write.deadline_ms for write in writes),
        "partitions": texts(write.partition_key for write in writes),
        "schedules": texts(write.schedule_name for write in writes),
        "parents": texts(write.parent_id for write in writes),
        "users": texts(write.authenticated_user for write in writes),
        "roles": texts(write.authenticated_roles for write in writes),
        "attributes": texts(write.attributes for write in writes),
        "inputs": texts(write.inputs for write in writes),
    }


def classify_starts(writes: Sequence[StartWorkflow]) -> Params:
    """Return the columns that ask what stands for starts."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "queues": texts(queue_of(write) for write in writes),
        "dedups": texts(write.dedup_id for write in writes),
        "executors": texts(write.lease.executor_id if write.lease else None for write in writes),
    }


def classify_ids(workflow_ids: Iterable[str]) -> Params:
    """Return the columns that ask, as for starts, for the rows of those ids alone."""
    ids = list(workflow_ids)
    nothing = texts(None for _ in ids)
    return {"ids": texts(ids), "queues": nothing, "dedups": nothing, "executors": nothing}


def start_alone(write: StartWorkflow) -> Generator[Call, list[Row], Outcome]:
    """Yield the calls of one start, be sent the rows of each, and return its outcome.

    For whoever runs them inside a transaction of his own. Raises `ProviderUnavailable` when the bound is reached.
    """
    for _ in range(ROUNDS_MAX):
        started = yield Call(SQL.start_workflows, start_workflows([write]))
        answers = _starts([(0, write)], [started])
        if answers:
            return answers[0]
        [standing] = yield Call(SQL.classify_starts, classify_starts([write]))
        outcome = _explain_start(write, standing)
        if outcome is not None:
            return outcome
    raise ProviderUnavailable("Postgres", f"a start is neither done nor refused: {write}")


def _starts(found: Group, results: Results) -> Answers:
    came_back = {row[0]: Duplicate(row[2]) if row[1] is None else Recorded(now_ms=row[1]) for row in results[0]}
    return {index: came_back[write.workflow_id] for index, write in found if write.workflow_id in came_back}


def _explain_start(write: StartWorkflow, row: Row) -> Outcome | None:
    """Return why a start did not come back, or None when it should be sent again."""
    holder, executor_state, *record = row
    if record[0] is not None:
        standing = rows.workflow(record)
        is_own_retry = standing.creator == write.creator
        return Recorded(now_ms=standing.created_at_ms) if is_own_retry else Existing(standing)
    if holder is not None:
        return Duplicate(holder)
    return Fenced() if write.lease and executor_state != "LIVE" else None


KINDS: Mapping[type, Kind] = {
    StartWorkflow: Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [Call(SQL.start_workflows, start_workflows(writes), is_hot=True)],
        read=_starts,
        question=Question(
            calls=lambda writes: [Call(SQL.classify_starts, classify_starts(writes))], read=explained(_explain_start)
        ),
    )
}
