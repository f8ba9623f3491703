"""How things stand for a workflow on the memory provider: what is before it, and what is taken of its budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from durust.model.records import WorkflowRow
from durust.model.standing import AHEAD_MAX, Standing, StandingRequest, Taken
from durust.model.status import ENQUEUED, PENDING
from durust.storage.memory_tables import Grant, Tables


def standing_of(tables: Tables, request: StandingRequest) -> Standing | None:
    """Return how things stand for a workflow; whoever asks holds the provider's lock."""
    mine = tables.workflows.get(request.workflow_id)
    if mine is None:
        return None
    before = [
        row
        for row in tables.workflows.values()
        if (row.status, row.queue, row.app_name) == (ENQUEUED, mine.queue, mine.app_name) and _order(row) < _order(mine)
    ]
    running = [
        row
        for row in tables.workflows.values()
        if (row.status, row.queue) == (PENDING, mine.queue) and mine.queue is not None and row.executor_id is not None
    ]
    all_of = Counter(row.executor_id for row in running)
    part_of = Counter(row.executor_id for row in running if _is_beside(row, mine))
    grants = [grant for grant in tables.grants.values() if grant.queue == mine.queue]
    beside = [grant for grant in grants if grant.partition is not None and grant.partition == mine.partition_key]
    return Standing(
        tables.now_ms,
        tuple(sorted(tables.waits.get(mine.workflow_id, ()), key=lambda wait: (wait.place, wait.kind, wait.target))),
        min(len(before), AHEAD_MAX),
        min(sum(_is_beside(row, mine) for row in before), AHEAD_MAX),
        _taken(tables, grants, request.span_ms),
        _taken(tables, beside, request.partition_span_ms),
        tuple(
            (executor_id or "", all_of[executor_id], part_of[executor_id]) for executor_id in sorted(all_of, key=str)
        ),
    )


def _order(row: WorkflowRow) -> tuple[int, int, str]:
    return row.priority, row.created_at_ms, row.workflow_id


def _is_beside(row: WorkflowRow, mine: WorkflowRow) -> bool:
    return mine.partition_key is not None and row.partition_key == mine.partition_key


def _taken(tables: Tables, grants: Iterable[Grant], span_ms: float) -> Taken:
    grants = list(grants)
    held = [one for one in grants if one.ended_at_ms is None and tables.state(one.executor_id) in {"LIVE", "DRAINING"}]
    starts = [one.granted_at_ms for one in grants if one.is_start and one.granted_at_ms > tables.now_ms - span_ms]
    return Taken(len(held), len(starts), min(starts, default=None))
