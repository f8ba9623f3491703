"""Starts on SQLite: a workflow is there once, queued, delayed, or running at once under its starter."""

from __future__ import annotations

from durust.model.records import WorkflowRow
from durust.model.writes import INTERNAL_QUEUE, Duplicate, Existing, Fenced, Missing, Outcome, Recorded, StartWorkflow
from durust.storage import rows
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Params, Statements


def start(transaction: Statements, write: StartWorkflow) -> Outcome:
    """Start one workflow."""
    values = start_values(write)
    if transaction.change(SQL.start_workflows, values):
        transaction.change(SQL.store_inputs, {"id": write.workflow_id, "inputs": write.inputs})
        return Recorded(now_ms=transaction.now_ms)
    return explain_start(transaction, write, values)


def start_values(write: StartWorkflow) -> dict[str, Param]:
    """Return the columns of a new row."""
    lease = write.lease
    return {
        "id": write.workflow_id,
        "name": write.name,
        "queue": write.queue if lease else write.queue or INTERNAL_QUEUE,
        "priority": write.priority,
        "dedup": write.dedup_id,
        "delay": 0 if lease else round(write.delay_seconds * 1000),
        "version": write.app_version,
        "app": write.app_name,
        "format": write.serialization,
        "creator": write.creator,
        "executor": lease.executor_id if lease else None,
        "token": lease.token if lease else None,
        "timeout": write.timeout_ms,
        "deadline": write.deadline_ms,
        "partition": write.partition_key,
        "schedule": write.schedule_name,
        "parent": write.parent_id,
        "user": write.authenticated_user,
        "roles": write.authenticated_roles,
        "attributes": write.attributes,
    }


def explain_start(transaction: Statements, write: StartWorkflow, values: Params) -> Outcome:
    """Return what stands for a start that changed nothing."""
    [(holder, *record)] = transaction.rows(SQL.classify_starts, values)
    if record[0] is not None:
        standing = rows.workflow(record)
        is_own_retry = standing.creator == write.creator
        return Recorded(now_ms=standing.created_at_ms) if is_own_retry else Existing(standing)
    return Fenced() if holder is None else Duplicate(holder)


def standing(transaction: Statements, workflow_id: str) -> WorkflowRow | None:
    """Return the workflow of that id, without its values."""
    [(_, *record)] = transaction.rows(SQL.classify_starts, {"id": workflow_id, "queue": None, "dedup": None})
    return None if record[0] is None else rows.workflow(record)


def explain_order(transaction: Statements, workflow_id: str) -> Outcome:
    """Return what stands in the way of an order that changed nothing."""
    row = standing(transaction, workflow_id)
    return Missing() if row is None else Existing(row)


KINDS: Kinds = {
    StartWorkflow: start,
}
