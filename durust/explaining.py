"""Gathers the facts by which it is told why a workflow does not run."""

from __future__ import annotations

from dataclasses import dataclass

from durust.errors import WorkflowNotFound
from durust.model.filters import VERSIONS_LIMIT_DEFAULT, ExecutorQuery, ListFilter
from durust.model.names import check_name
from durust.model.queues import window_ms
from durust.model.reasons import Facts, Reason, reason
from durust.model.records import Checkpoint, QueueRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.storage.provider import StateProvider
from durust.texts import error_line

_EVERY_STATE = ("LIVE", "DRAINING", "DEAD")


@dataclass(frozen=True, slots=True)
class Account:
    """One workflow with all that is known about how it stands."""

    row: WorkflowRow
    """With its values."""
    steps: tuple[Checkpoint, ...]
    """By their places."""
    standing: Standing
    reason: Reason


def account_of(provider: StateProvider, workflow_id: str) -> Account:
    """Read all there is about one workflow. Raises `WorkflowNotFound`."""
    query = ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)], load_input=True, load_output=True)
    found = provider.workflows(query)
    queue = _queue_of(provider, found[0]) if found else None
    standing = provider.standing(_request(workflow_id, queue))
    if not found or standing is None:
        raise WorkflowNotFound(workflow_id)
    row = found[0]
    steps = provider.history([workflow_id]).get(workflow_id, ())
    claimed = ExecutorQuery(executor_ids=(row.executor_id or "",), states=_EVERY_STATE)
    facts = Facts(
        row=row,
        standing=standing,
        error=error_line(row.error, row.serialization),
        last_step=steps[-1] if steps else None,
        queue=queue,
        executor=next(iter(provider.executors(claimed)), None) if row.executor_id else None,
        living=[
            executor
            for executor in provider.executors(ExecutorQuery(states=("LIVE",)))
            if executor.lease_seconds_left > 0 and row.app_name in {None, executor.app_name}
        ],
        versions=provider.versions(row.app_name or "", VERSIONS_LIMIT_DEFAULT),
    )
    return Account(row, tuple(sorted(steps, key=lambda step: step.place)), standing, reason(facts))


def _queue_of(provider: StateProvider, row: WorkflowRow) -> QueueRow | None:
    return next((queue for queue in provider.queues() if queue.name == row.queue), None)


def _request(workflow_id: str, queue: QueueRow | None) -> StandingRequest:
    if queue is None:
        return StandingRequest(workflow_id)
    periods = (queue.rate_period_seconds, queue.partition_rate_period_seconds)
    return StandingRequest(workflow_id, *(window_ms(period or 0.0) for period in periods))
