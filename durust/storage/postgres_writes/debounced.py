"""Debounced starts on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import DebounceWorkflow, Duplicate, Existing, Recorded
from durust.storage import debounces, rows, statements
from durust.storage.columns import Params, milliseconds, numbers
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results
from durust.storage.postgres_writes.starts import start_workflows

SQL = statements.load("postgres")


def debounce_workflows(writes: Sequence[DebounceWorkflow]) -> Params:
    """Return the columns of debounced starts; those of a start that they have no use for stand there unused."""
    return start_workflows([write.start for write in writes]) | {
        "periods": numbers(milliseconds(write.period_seconds) for write in writes),
        "limits": numbers(
            None if write.limit_seconds is None else milliseconds(write.limit_seconds) for write in writes
        ),
    }


def _merged(writes: list[DebounceWorkflow]) -> Params:
    return debounce_workflows([debounces.merged(each) for each in debounces.meeting(list(enumerate(writes)))])


def _debouncing(writes: list[DebounceWorkflow]) -> list[Call]:
    """Return two calls: what is due leaves its key, then, in a later snapshot, bounce what waits or begin anew."""
    params = _merged(writes)
    return [Call(SQL.queue_overdue, params, is_hot=True), Call(SQL.debounce_workflows, params, is_hot=True)]


def _debounces(found: Group, results: Results) -> Answers:
    came_back = {row[0]: Recorded(workflow_id=row[1]) if row[1] else Duplicate(row[2]) for row in results[1]}
    # The last write of a key was sent for all of them.
    return {
        index: came_back[last.start.creator]
        for writes in debounces.meeting(found)
        for last in (writes[-1][1],)
        if last.start.creator in came_back
        for index, _ in writes
    }


def _ask(writes: list[DebounceWorkflow]) -> list[Call]:
    return [Call(SQL.classify_debounces, _merged(writes))]


def _explain(group: Group, results: Results) -> Answers:
    met = debounces.meeting(group)
    answers: Answers = {}
    for writes, row in zip(met, results[0], strict=True):
        answers |= _explain_debounce(writes, row)
    return answers


def _explain_debounce(writes: debounces.Group, row: Row) -> Answers:
    """Return why the debounced starts of one key did not come back; nothing for those that should be sent again."""
    own, is_waiting, holder, *record = row
    if own is not None:
        return {index: Recorded(workflow_id=own) for index, _ in writes}
    if is_waiting:
        return {}
    if record[0] is not None:
        # Only the first one asked for that id; the others go on without it.
        return {writes[0][0]: Existing(rows.workflow(record))}
    return {} if holder is None else {index: Duplicate(holder) for index, _ in writes}


KINDS: Mapping[type, Kind] = {
    DebounceWorkflow: Kind(calls=_debouncing, read=_debounces, question=Question(calls=_ask, read=_explain))
}
