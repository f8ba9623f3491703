"""How the memory provider counts, and how the rows of the others' counts become records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from durust.model.counts import GROUPS, CountQuery, Spread, StepCount, StepQuery, WorkflowCount
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.status import recorded
from durust.storage.memory_tables import Tables, is_in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count(rows: Iterable[WorkflowRow], query: CountQuery) -> list[WorkflowCount]:
    """Count *rows*, which are those that the query means."""
    groups: dict[tuple[Any, ...], list[WorkflowRow]] = {}
    for row in rows:
        bucket = None if query.bucket_ms is None else row.created_at_ms - row.created_at_ms % query.bucket_ms
        key = (bucket, *(getattr(row, name) if name in query.by else None for name in GROUPS))
        groups.setdefault(key, []).append(row)
    counted = [
        (
            *key,
            len(members),
            *_spread([row.completed_at_ms - row.created_at_ms for row in members if row.completed_at_ms is not None]),
        )
        for key, members in groups.items()
    ]
    counted.sort(key=lambda row: (row[0] or 0, -row[1 + len(GROUPS)], *map(_order, row[1 : 1 + len(GROUPS)])))
    return [workflow_count(row) for row in counted[query.filter.offset :][: query.filter.limit]]


def count_steps(tables: Tables, query: StepQuery) -> list[StepCount]:
    """Count the steps that the query means."""
    begin, end = query.completed_ms
    groups: dict[str, list[Checkpoint]] = {}
    for workflow_id, history in tables.history.items():
        row = tables.workflows.get(workflow_id)
        if query.scope is not None and (row is None or not is_in(query.scope, row)):
            continue
        for step in history.values():
            at_ms = step.completed_at_ms
            if at_ms is not None and begin <= at_ms < end and (query.names is None or step.name in query.names):
                groups.setdefault(step.name, []).append(step)
    counted = [
        (
            name,
            len(steps),
            sum(step.error is not None for step in steps),
            *_spread(
                [
                    step.completed_at_ms - step.started_at_ms
                    for step in steps
                    if step.completed_at_ms is not None and step.started_at_ms is not None
                ]
            ),
        )
        for name, steps in groups.items()
    ]
    counted.sort(key=lambda row: (-row[1], row[0]))
    return [step_count(row) for row in counted[: query.limit]]


def workflow_count(row: Sequence[Any]) -> WorkflowCount:
    """Return a count, from a row of the bucket, the groups, the number, and the spread in milliseconds."""
    bucket, status, name, queue, executor_id, app_name, app_version, number, *spread = row
    return WorkflowCount(
        count=number,
        bucket=None if bucket is None else _EPOCH + timedelta(milliseconds=bucket),
        status=None if status is None else recorded(status),
        name=name,
        queue=queue,
        executor_id=executor_id,
        app_name=app_name,
        app_version=app_version,
        seconds=_seconds(*spread),
    )


def step_count(row: Sequence[Any]) -> StepCount:
    """Return a count of steps, from a row of the name, the number, the errors, and the spread in milliseconds."""
    name, number, errors, *spread = row
    return StepCount(name=name, count=number, errors=errors, seconds=_seconds(*spread))


def _spread(lengths: Sequence[int]) -> tuple[int | None, float | None, int | None]:
    if not lengths:
        return None, None, None
    return min(lengths), sum(lengths) / len(lengths), max(lengths)


def _seconds(least: float | None, mean: float | None, most: float | None) -> Spread | None:
    return None if least is None or mean is None or most is None else Spread(least / 1000, mean / 1000, most / 1000)


def _order(value: str | None) -> tuple[bool, str]:
    return value is not None, value or ""
