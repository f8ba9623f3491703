"""Rows of a result turned into records: a statement selects the fields of a record in the record's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from durust.model.claims import Claimed, Claims
from durust.model.records import (
    Checkpoint,
    ExecutorRow,
    Lease,
    MessageRow,
    QueueRow,
    ScheduleRow,
    StoredSchedules,
    VersionRow,
    WorkflowRow,
)
from durust.model.standing import Standing, Taken
from durust.model.status import recorded
from durust.model.waits import NULL_TOPIC, Awaited, Found, Gone, StoredValue, StreamEntry, ending_of
from durust.model.writes import Wait

Row = Sequence[Any]


def workflow(row: Row) -> WorkflowRow:
    """Return a workflow, with its values where the row goes on behind the serialization."""
    found = WorkflowRow(*row)
    # SQLite knows no truth but numbers.
    return replace(found, status=recorded(found.status), was_forked_from=bool(found.was_forked_from))


def checkpoint(row: Row) -> Checkpoint:
    """Return a recorded step."""
    return Checkpoint(*row)


def message(row: Row) -> MessageRow:
    """Return a message."""
    message_id, destination_id, topic, text, serialization, created_at_ms, is_consumed, consumed_by = row
    shown = None if topic == NULL_TOPIC else topic
    # SQLite knows no truth but numbers.
    return MessageRow(
        message_id, destination_id, shown, text, serialization, created_at_ms, bool(is_consumed), consumed_by
    )


def histories(ids: Iterable[str], rows: Iterable[Row]) -> dict[str, tuple[Checkpoint, ...]]:
    """Return the steps of each of *ids*, from rows in order whose first column is the workflow's id."""
    steps: dict[str, list[Checkpoint]] = {workflow_id: [] for workflow_id in ids}
    for workflow_id, *rest in rows:
        steps[workflow_id].append(checkpoint(rest))
    return {workflow_id: tuple(recorded) for workflow_id, recorded in steps.items()}


def own_record(found: Iterable[Row], lease: Lease, place: int) -> Checkpoint | None:
    """Return the record at a place that the holder of *lease* has written, from the rows of its history."""
    for _, *rest in found:
        record = checkpoint(rest)
        if record.place == place:
            return record if record.claim == lease.token else None
    return None


def events(found: Iterable[Row]) -> dict[str, StoredValue]:
    """Return the values of events by their keys."""
    return {key: StoredValue(text, serialization) for key, text, serialization in found}


def streams(found: Iterable[Row]) -> dict[str, tuple[StreamEntry, ...]]:
    """Return streams by their keys, from rows in order."""
    entries: dict[str, list[StreamEntry]] = {}
    for key, *entry in found:
        entries.setdefault(key, []).append(StreamEntry(*entry))
    return {key: tuple(each) for key, each in entries.items()}


def endings(awaited: Iterable[Awaited], standing: Iterable[WorkflowRow]) -> dict[Awaited, Found]:
    """Return the endings that are there, by the rows of all awaited workflows that are there."""
    by_id = {row.workflow_id: row for row in standing}
    found: dict[Awaited, Found] = {}
    for one in awaited:
        row = by_id.get(one.target)
        if row is None:
            found[one] = Gone()
        elif row.status.is_terminal:
            found[one] = ending_of(row)
    return found


def claimed(row: Row, *, has_grant: bool = False) -> Claimed:
    """Return a granted claim, without its history."""
    workflow_id, executor_id, token, *rest = row
    return Claimed(Lease(workflow_id, executor_id, token, has_grant), *rest)


def with_histories(claims: Claims, steps: dict[str, tuple[Checkpoint, ...]]) -> Claims:
    """Return *claims*, each with its history; those that *steps* does not know have none."""
    return Claims(
        (replace(claim, history=steps.get(claim.lease.workflow_id, ())) for claim in claims),
        limited=claims.limited,
        budgeted=claims.budgeted,
        again_seconds=claims.again_seconds,
    )


def executor(row: Row) -> ExecutorRow:
    """Return an executor."""
    return ExecutorRow(*row)


def versions(found: Iterable[Row]) -> list[VersionRow]:
    """Return versions, from rows in order that hold one workflow of a version each, or none."""
    heads: dict[Row, list[tuple[str, str]]] = {}
    for *head, workflow_name, workflow_version in found:
        workflows = heads.setdefault(tuple(head), [])
        if workflow_name is not None:
            workflows.append((workflow_name, workflow_version))
    return [
        VersionRow(name, promoted_at_ms, created_at_ms, executors, tuple(sorted(workflows)))
        for (name, promoted_at_ms, created_at_ms, executors), workflows in heads.items()
    ]


def queue(row: Row) -> QueueRow:
    """Return a queue's definition."""
    found = QueueRow(*row)
    # SQLite has numbers for them.
    return replace(
        found,
        priority_enabled=bool(found.priority_enabled),
        partition_queue=bool(found.partition_queue),
        is_paused=bool(found.is_paused),
    )


def schedules(found: Iterable[Row]) -> StoredSchedules:
    """Return schedules, from rows that each begin with the time; where there is none, a lone row tells it."""
    moments, kept = [], []
    for now_ms, *rest in found:
        moments.append(now_ms)
        if rest[0] is not None:
            kept.append(schedule(rest))
    return StoredSchedules(moments[0], tuple(kept))


def schedule(row: Row) -> ScheduleRow:
    """Return a schedule."""
    schedule_id, name, workflow, cron, zone, context, status, catch_up, *rest = row
    # SQLite knows no truth but numbers.
    return ScheduleRow(schedule_id, name, workflow, cron, zone, context, status, bool(catch_up), *rest)


def standing(found: Sequence[Row], running: Iterable[Row], waits: Iterable[Row]) -> Standing | None:
    """Return how things stand for a workflow."""
    if not found:
        return None
    now_ms, ahead, ahead_in_partition, *taken = found[0]
    return Standing(
        now_ms,
        tuple(Wait(*row) for row in waits),
        ahead,
        ahead_in_partition,
        Taken(*taken[:3]),
        Taken(*taken[3:]),
        tuple((executor_id, runs, runs_of_partition) for executor_id, runs, runs_of_partition in running),
    )
