"""Children of runs on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import Duplicate, Existing, Outcome, Recorded, StartChild
from durust.storage import rows, statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.guards import chained, classify_runs, explain, place_of
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results, explained
from durust.storage.postgres_writes.starts import queue_of, start_workflows

SQL = statements.load("postgres")


def start_children(writes: Sequence[StartChild]) -> Params:
    """Return the columns of runs, of their children and of the links; what has no use there stands in them too."""
    return (
        start_workflows([write.start for write in writes])
        | chained(writes)
        | {
            "children": texts(write.start.workflow_id for write in writes),
            "places": numbers(write.place for write in writes),
            "started": numbers(write.started_at_ms for write in writes),
            "completed": numbers(write.completed_at_ms for write in writes),
            "attaching": texts(str(write.attaches) for write in writes),
        }
    )


def classify_children(writes: Sequence[StartChild]) -> Params:
    """Return the keys by which children that are not linked are explained."""
    return {
        "ids": texts(write.start.workflow_id for write in writes),
        "queues": texts(queue_of(write.start) for write in writes),
        "dedups": texts(write.start.dedup_id for write in writes),
    }


# As many columns as `classify_runs` answers.
_RUN_COLUMNS = 14


def _children(found: Group, results: Results) -> Answers:
    came_back = {(row[0], row[1]): row[2] for row in results[0]}
    return {
        index: Recorded(workflow_id=came_back[key]) for index, write in found if (key := place_of(write)) in came_back
    }


def _ask(writes: list[StartChild]) -> list[Call]:
    return [Call(SQL.classify_runs, classify_runs(writes)), Call(SQL.classify_children, classify_children(writes))]


def _explained(group: Group, results: Results) -> Answers:
    found = [(*parent, *child) for parent, child in zip(*results, strict=True)]
    return explained(_explain_child)(group, [found])


def _explain_child(write: StartChild, row: Row) -> Outcome | None:
    """Return why a child was not linked, or None when the write should be sent again."""
    of_parent, (holder, holder_name, *record) = row[:_RUN_COLUMNS], row[_RUN_COLUMNS:]
    outcome = explain(write, of_parent)
    if outcome is not None:
        return outcome
    if record[0] is not None:
        standing = rows.workflow(record)
        return None if standing.name == write.start.name else Existing(standing)
    if holder is None or (write.attaches and holder_name == write.start.name):
        return None
    return Duplicate(holder)


KINDS: Mapping[type, Kind] = {
    StartChild: Kind(
        key=place_of,
        calls=lambda writes: [Call(SQL.start_children, start_children(writes), is_hot=True)],
        read=_children,
        question=Question(calls=_ask, read=_explained),
    )
}
