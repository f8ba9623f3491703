"""Starts in memory: a workflow is there once, queued, delayed, or running at once under its starter."""

from __future__ import annotations

from durust.model.records import WorkflowRow
from durust.model.status import DELAYED, ENQUEUED, PENDING
from durust.model.writes import INTERNAL_QUEUE, Duplicate, Existing, Fenced, Outcome, Recorded, StartWorkflow
from durust.storage.memory_tables import Kinds, Tables, bare, deadline


def start(tables: Tables, write: StartWorkflow) -> Outcome:
    """Start one workflow."""
    now = tables.now_ms
    known = tables.workflows.get(write.workflow_id)
    if known is not None:
        return Recorded(now) if known.creator == write.creator else Existing(bare(known))
    lease = write.lease
    queue = write.queue if lease else write.queue or INTERNAL_QUEUE
    for row in tables.workflows.values() if write.dedup_id is not None else ():
        if (row.queue, row.dedup_id) == (queue, write.dedup_id):
            return Duplicate(row.workflow_id)
    if lease and tables.state(lease.executor_id) != "LIVE":
        return Fenced()
    delay_ms = 0 if lease else round(write.delay_seconds * 1000)
    tables.workflows[write.workflow_id] = WorkflowRow(
        workflow_id=write.workflow_id,
        name=write.name,
        status=PENDING if lease else DELAYED if delay_ms > 0 else ENQUEUED,
        queue=queue,
        priority=write.priority,
        dedup_id=write.dedup_id,
        executor_id=lease.executor_id if lease else None,
        token=lease.token if lease else None,
        creator=write.creator,
        app_name=write.app_name,
        app_version=write.app_version,
        attempts=1 if lease else 0,
        created_at_ms=now,
        updated_at_ms=now,
        started_at_ms=None,
        completed_at_ms=None,
        delay_until_ms=now + delay_ms if delay_ms > 0 else None,
        timeout_ms=write.timeout_ms,
        deadline_ms=write.deadline_ms if lease is None else deadline(write.deadline_ms, write.timeout_ms, now),
        partition_key=write.partition_key,
        schedule_name=write.schedule_name,
        parent_id=write.parent_id,
        authenticated_user=write.authenticated_user,
        authenticated_roles=write.authenticated_roles,
        assumed_role=None,
        attributes=write.attributes,
        forked_from=None,
        was_forked_from=False,
        serialization=write.serialization,
        inputs=write.inputs,
    )
    return Recorded(now)


KINDS: Kinds = {
    StartWorkflow: start,
}
