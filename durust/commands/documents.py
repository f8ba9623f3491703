"""What the database holds, as the documents that commands print: keys that stay, instants in ISO 8601, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from durust.codec import PORTABLE_JSON
from durust.commands.output import Document, Instant, maybe_instant
from durust.model.records import Checkpoint, QueueRow, WorkflowRow
from durust.schedules import Schedule
from durust.texts import value_of


def _parsed(text: str | None) -> object:
    return value_of(text, PORTABLE_JSON)


def workflow_document(row: WorkflowRow) -> Document:
    """Return a workflow without its values."""
    ended_ms = row.completed_at_ms
    # What began without a queue began as it was created.
    started_ms = row.created_at_ms if row.started_at_ms is None and row.queue is None else row.started_at_ms
    seconds = None if ended_ms is None or started_ms is None else max(0, ended_ms - started_ms) / 1000
    return {
        "id": row.workflow_id,
        "name": row.name,
        "status": str(row.status),
        "queue": row.queue,
        "priority": row.priority,
        "partition": row.partition_key,
        "dedup_id": row.dedup_id,
        "app": row.app_name,
        "version": row.app_version,
        "executor": row.executor_id,
        "attempts": row.attempts,
        "created": maybe_instant(row.created_at_ms),
        "started": maybe_instant(started_ms),
        "completed": maybe_instant(ended_ms),
        "seconds": seconds,
        "delay_until": maybe_instant(row.delay_until_ms),
        "timeout_seconds": None if row.timeout_ms is None else row.timeout_ms / 1000,
        "deadline": maybe_instant(row.deadline_ms),
        "timed_out": row.is_timed_out,
        "parent": row.parent_id,
        "forked_from": row.forked_from,
        "schedule": row.schedule_name,
        "user": row.authenticated_user,
        "roles": _parsed(row.authenticated_roles),
        "attributes": _parsed(row.attributes),
    }


def values_document(row: WorkflowRow) -> Document:
    """Return the values of a workflow that was read with them."""
    return {
        "input": value_of(row.inputs, row.serialization),
        "output": value_of(row.output, row.serialization),
        "error": value_of(row.error, row.serialization),
        "serialization": row.serialization,
    }


def step_document(step: Checkpoint) -> Document:
    """Return a recorded step."""
    started_ms, ended_ms = step.started_at_ms, step.completed_at_ms
    return {
        "step": step.place,
        "name": step.name,
        "status": "ERROR" if step.error is not None else "SUCCESS",
        "started": maybe_instant(started_ms),
        "ended": maybe_instant(ended_ms),
        "seconds": None if started_ms is None or ended_ms is None else max(0, ended_ms - started_ms) / 1000,
        "child": step.child_id,
        "output": value_of(step.output, step.serialization),
        "error": value_of(step.error, step.serialization),
    }


def queue_document(row: QueueRow) -> Document:
    """Return a queue with its limits."""
    return {
        "name": row.name,
        "paused": row.is_paused,
        "global_concurrency": row.global_concurrency,
        "worker_concurrency": row.worker_concurrency,
        "rate_limit": row.rate_limit,
        "rate_period_seconds": row.rate_period_seconds,
        "priority_enabled": row.priority_enabled,
        "partitioned": row.partition_queue,
        "partition_concurrency": row.partition_concurrency,
        "partition_worker_concurrency": row.partition_worker_concurrency,
        "partition_rate_limit": row.partition_rate_limit,
        "partition_rate_period_seconds": row.partition_rate_period_seconds,
        "app": row.app_name,
    }


def schedule_document(schedule: Schedule) -> Document:
    """Return a schedule."""
    return {
        "name": schedule.name,
        "workflow": schedule.workflow,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "paused": schedule.is_paused,
        "catch_up": schedule.catch_up,
        "overlap": schedule.overlap,
        "queue": schedule.queue,
        "context": schedule.context,
        "last": _moment(schedule.last_fired),
        "next": _moment(schedule.next_fire),
    }


def _moment(moment: datetime | None) -> Instant | None:
    return None if moment is None else Instant(moment.astimezone(UTC).isoformat(timespec="milliseconds"))
