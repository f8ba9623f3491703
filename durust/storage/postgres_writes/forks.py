"""Forks of workflows on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import INTERNAL_QUEUE, Existing, ForkWorkflow, Missing
from durust.storage import rows, statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results
from durust.storage.postgres_writes.starts import classify_ids
from durust.storage.postgres_writes.waking import hold_buckets
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def fork_workflows(writes: Sequence[ForkWorkflow]) -> Params:
    """Return the columns of forks, and of the children that others stand for in them."""
    children = [(write.fork_id, old, new) for write in writes for old, new in write.children]
    return {
        "ids": texts(write.workflow_id for write in writes),
        "forks": texts(write.fork_id for write in writes),
        "places": numbers(write.start_place for write in writes),
        "creators": texts(write.creator for write in writes),
        "versions": texts(write.app_version for write in writes),
        "queues": texts(write.queue or INTERNAL_QUEUE for write in writes),
        "partitions": texts(write.partition_key for write in writes),
        "timeouts": numbers(write.timeout_ms for write in writes),
        "child_forks": texts(fork for fork, _, _ in children),
        "child_olds": texts(old for _, old, _ in children),
        "child_news": texts(new for _, _, new in children),
    }


def _forked(found: Group, results: Results) -> Answers:
    """Answer the forks that were made."""
    made = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.fork_id in made}


def _ask(writes: list[ForkWorkflow]) -> list[Call]:
    """Return what asks for what has the id of each fork, and for each source."""
    return [
        Call(SQL.classify_starts, classify_ids(write.fork_id for write in writes)),
        Call(SQL.classify_starts, classify_ids(write.workflow_id for write in writes)),
    ]


def _explain(group: Group, results: Results) -> Answers:
    """Answer what has the id of each fork, or that its source is missing."""
    answers: Answers = {}
    for (index, write), (_, _, *record), (_, _, source, *_) in zip(group, *results, strict=True):
        if record[0] is not None:
            standing = rows.workflow(record)
            answers[index] = RECORDED if standing.creator == write.creator else Existing(standing)
        elif source is None:
            answers[index] = Missing()
    return answers


KINDS: Mapping[type, Kind] = {
    ForkWorkflow: Kind(
        key=lambda write: write.fork_id,
        calls=lambda writes: [
            Call(SQL.hold_buckets, hold_buckets(write.fork_id for write in writes), is_hot=True),
            Call(SQL.fork_workflows, fork_workflows(writes)),
        ],
        read=lambda found, results: _forked(found, results[1:]),
        question=Question(calls=_ask, read=_explain),
    )
}
