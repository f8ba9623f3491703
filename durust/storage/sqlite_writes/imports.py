"""Whole workflows on SQLite, entered from another database."""

from __future__ import annotations

from collections.abc import Iterator

from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.writes import Existing, Outcome, Recorded
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.starts import standing
from durust.storage.statements import Statement

Params = dict[str, Param]


def enter(transaction: Transaction, write: ImportWorkflows) -> Outcome:
    """Enter workflows, all or none."""
    for copy in write.copies:
        if known := standing(transaction, copy.row.workflow_id):
            return Recorded() if known.creator == write.creator else Existing(known)
    for copy in write.copies:
        for statement, params in _parts(copy, write.creator):
            transaction.change(statement, params)
    return Recorded()


def _parts(copy: WorkflowCopy, creator: str) -> Iterator[tuple[Statement, Params]]:
    """Return what to run for one workflow, its row first."""
    row = copy.row
    mine: Params = {"id": row.workflow_id}
    yield SQL.import_workflows, _row(copy) | {"creator": creator}
    yield SQL.store_inputs, mine | {"inputs": row.inputs}
    if row.output is not None or row.error is not None:
        yield SQL.store_outputs, mine | {"output": row.output, "error": row.error}
    for step in copy.steps:
        yield (
            SQL.import_steps,
            mine
            | {
                "place": step.place,
                "name": step.name,
                "output": step.output,
                "error": step.error,
                "format": step.serialization,
                "child": step.child_id,
                "started": step.started_at_ms,
                "completed": step.completed_at_ms,
                "claim": step.claim,
                "app": row.app_name,
            },
        )
    for event in copy.events:
        yield SQL.import_events, mine | {"key": event.key, "text": event.text, "format": event.serialization}
    for event in copy.past_events:
        value: Params = {"place": event.place, "key": event.key, "text": event.text, "format": event.serialization}
        yield SQL.import_past_events, mine | value
    for entry in copy.streams:
        line: Params = {"key": entry.key, "offset": entry.offset, "text": entry.text, "place": entry.place}
        yield SQL.import_streams, mine | line | {"format": entry.serialization}
    for message in copy.messages:
        yield (
            SQL.import_messages,
            mine
            | {
                "message": message.message_id,
                "topic": message.topic,
                "text": message.text,
                "format": message.serialization,
                "created": message.created_at_ms,
                "is_consumed": message.is_consumed,
                "consumed_by": message.consumed_by,
            },
        )


def _row(copy: WorkflowCopy) -> Params:
    row = copy.row
    return {
        "id": row.workflow_id,
        "status": str(row.status),
        "name": row.name,
        "queue": row.queue,
        "priority": row.priority,
        "app": row.app_name,
        "version": row.app_version,
        "attempts": row.attempts,
        "created": row.created_at_ms,
        "updated": row.updated_at_ms,
        "started": row.started_at_ms,
        "completed": row.completed_at_ms,
        "until": row.delay_until_ms,
        "timeout": row.timeout_ms,
        "deadline": row.deadline_ms,
        "partition": row.partition_key,
        "schedule": row.schedule_name,
        "parent": row.parent_id,
        "user": row.authenticated_user,
        "roles": row.authenticated_roles,
        "assumed": row.assumed_role,
        "attributes": row.attributes,
        "source": row.forked_from,
        "forked": row.was_forked_from,
        "format": row.serialization,
    }


KINDS: Kinds = {
    ImportWorkflows: enter,
}
