"""A call turned into the write that queues it."""

from __future__ import annotations

from durust import clock
from durust.model.options import WorkflowOptions
from durust.model.writes import StartWorkflow


def queued(
    name: str, inputs: str | None, serialization: str, options: WorkflowOptions, *, queue: str | None, app_name: str
) -> StartWorkflow:
    """Return the write that puts the workflow *name* on *queue*, or on the internal one."""
    return StartWorkflow(
        workflow_id=options.workflow_id or clock.ordered_id(),
        name=name,
        inputs=inputs,
        serialization=serialization,
        creator=clock.token(),
        app_name=app_name,
        queue=queue,
        priority=options.priority,
        dedup_id=options.dedup_id,
        delay_seconds=options.delay_seconds,
        timeout_ms=options.timeout_ms,
        deadline_ms=options.deadline_ms,
        partition_key=options.partition_key,
        app_version=options.app_version,
        authenticated_user=options.authenticated_user,
        authenticated_roles=options.roles_text,
        attributes=options.attributes_text,
    )
