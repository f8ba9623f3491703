"""Purges in memory: ended workflows go with all that is their own, and executors that are long dead."""

from __future__ import annotations

from collections.abc import Iterator

from durust.model.filters import FINAL, PurgeRequest
from durust.model.records import WorkflowRow
from durust.model.status import PENDING
from durust.model.sweeps import Purged
from durust.storage.memory_tables import Tables, is_in


def purge(tables: Tables, request: PurgeRequest) -> Purged:
    """Remove one batch."""
    found = [row.workflow_id for row in _purgeable(tables, request)][: request.limit]
    if request.is_dry:
        return Purged(len(found), more=len(found) == request.limit)
    dead = _long_dead(tables, request)[: request.limit]
    for key in found:
        tables.forget(key)
    for key in dead:
        del tables.executors[key]
    return Purged(len(found), len(dead), more=request.limit in {len(found), len(dead)})


def _purgeable(tables: Tables, request: PurgeRequest) -> Iterator[WorkflowRow]:
    """Return the rows that a purge may remove, the oldest end first."""
    rows = tables.workflows
    ended = sorted(
        (row.completed_at_ms, row.workflow_id)
        for row in rows.values()
        if row.status in request.statuses and row.completed_at_ms is not None and is_in(request.scope, row)
    )
    age, keep = request.ended_before_seconds, request.keep_newest
    last_ms = None if age is None else tables.now_ms - round(age * 1000)
    waited_for = {wait.target for waits in tables.waits.values() for wait in waits}
    # A fork's history names children whose parent is another.
    named = {
        step.child_id
        for holder, steps in tables.history.items()
        if holder in rows and rows[holder].status not in FINAL
        for step in steps.values()
    }
    for place, (ended_ms, key) in enumerate(ended):
        is_old = last_ms is not None and ended_ms <= last_ms
        is_beyond = keep is not None and place < len(ended) - keep
        parent = rows.get(rows[key].parent_id or "")
        is_awaited = key in waited_for | named or (parent is not None and parent.status not in FINAL)
        if (is_old or is_beyond) and not is_awaited:
            yield rows[key]


def _long_dead(tables: Tables, request: PurgeRequest) -> list[str]:
    """Return the executors that have been dead for long and hold nothing, the oldest end first."""
    holders = {row.executor_id for row in tables.workflows.values() if row.status is PENDING}
    last_ms = tables.now_ms - round(request.dead_before_seconds * 1000)
    dead = [
        (row.ended_at_ms, key)
        for key, row in ((key, executor.row) for key, executor in tables.executors.items())
        if (row.state, row.app_name) == ("DEAD", request.scope.app_name)
        and row.ended_at_ms is not None
        and key not in holders
    ]
    return [key for ended_ms, key in sorted(dead) if ended_ms <= last_ms]
