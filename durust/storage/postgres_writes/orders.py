"""Orders to workflows on Postgres that are no cancels: to come later, to go on, to be gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.status import ENQUEUED
from durust.model.writes import INTERNAL_QUEUE, DeleteWorkflow, Existing, Missing, Outcome, ResumeWorkflow, SetDelay
from durust.storage import rows, statements
from durust.storage.columns import Params, milliseconds, numbers, texts
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results, by_key, explained
from durust.storage.postgres_writes.moves import explain_move, moved
from durust.storage.postgres_writes.starts import classify_ids
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def set_delays(writes: Sequence[SetDelay]) -> Params:
    """Return the columns of new delays."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "delays": numbers(milliseconds(write.delay_seconds) for write in writes),
        "internal": INTERNAL_QUEUE,
    }


def resume_workflows(writes: Sequence[ResumeWorkflow]) -> Params:
    """Return the columns of workflows to queue again."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "queues": texts(write.queue for write in writes),
        "internal": INTERNAL_QUEUE,
    }


def delete_workflows(writes: Sequence[DeleteWorkflow]) -> Params:
    """Return the ids of workflows to remove."""
    return {"ids": texts(write.workflow_id for write in writes)}


def _delayed(found: Group, results: Results) -> Answers:
    # What is queued already needs nothing more where no delay was asked for.
    is_queued = {row[0] for row in results[0] if row[1] == ENQUEUED}
    came_back = {row[0] for row in results[1]}
    return {
        index: RECORDED
        for index, write in found
        if write.workflow_id in came_back or (write.workflow_id in is_queued and milliseconds(write.delay_seconds) <= 0)
    }


def _explain_delay(_: SetDelay, row: Row) -> Outcome:
    """Return why a delay did not come back: of a row that is delayed all the same it is that its run is parked."""
    record = row[2:]
    return Missing() if record[0] is None else Existing(rows.workflow(record))


def _deleted(found: Group, results: Results) -> Answers:
    """Answer the removals: what was not there is missing."""
    came_back = {row[0] for row in results[1]}
    return {index: RECORDED if write.workflow_id in came_back else Missing() for index, write in found}


def _ask(writes: list[ResumeWorkflow | SetDelay]) -> list[Call]:
    return [Call(SQL.classify_starts, classify_ids(write.workflow_id for write in writes))]


KINDS: Mapping[type, Kind] = {
    SetDelay: Kind(
        # The last of one workflow stands.
        calls=lambda writes: [
            Call(SQL.lock_delayed, set_delays(by_key(writes, lambda write: write.workflow_id))),
            Call(SQL.set_delays, set_delays(by_key(writes, lambda write: write.workflow_id))),
        ],
        read=_delayed,
        question=Question(calls=_ask, read=explained(_explain_delay)),
    ),
    ResumeWorkflow: Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [Call(SQL.resume_workflows, resume_workflows(writes))],
        read=moved,
        question=Question(calls=_ask, read=explained(explain_move)),
    ),
    DeleteWorkflow: Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [
            Call(SQL.lock_doomed, delete_workflows(writes)),
            Call(SQL.delete_workflows, delete_workflows(writes)),
        ],
        read=_deleted,
    ),
}
