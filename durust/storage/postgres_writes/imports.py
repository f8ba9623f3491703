"""Copies of whole workflows that are imported into Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.writes import Existing
from durust.storage import rows, statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results, stored
from durust.storage.postgres_writes.starts import classify_ids
from durust.storage.postgres_writes.waking import hold_buckets
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def import_workflows(write: ImportWorkflows) -> Params:
    """Return the columns of one import, a table of them for each kind of thing."""
    copies = write.copies
    owned = [(copy.row.workflow_id, copy) for copy in copies]
    steps = [(key, step) for key, copy in owned for step in copy.steps]
    events = [(key, event) for key, copy in owned for event in copy.events]
    past = [(key, event) for key, copy in owned for event in copy.past_events]
    entries = [(key, entry) for key, copy in owned for entry in copy.streams]
    messages = [(key, message) for key, copy in owned for message in copy.messages]
    return _rows(copies) | {
        "creator": write.creator,
        "step_ids": texts(key for key, _ in steps),
        "step_places": numbers(step.place for _, step in steps),
        "step_names": texts(step.name for _, step in steps),
        "step_outputs": texts(step.output for _, step in steps),
        "step_errors": texts(step.error for _, step in steps),
        "step_formats": texts(step.serialization for _, step in steps),
        "step_children": texts(step.child_id for _, step in steps),
        "step_started": numbers(step.started_at_ms for _, step in steps),
        "step_completed": numbers(step.completed_at_ms for _, step in steps),
        "step_claims": texts(step.claim for _, step in steps),
        "event_ids": texts(key for key, _ in events),
        "event_keys": texts(event.key for _, event in events),
        "event_texts": texts(event.text for _, event in events),
        "event_formats": texts(event.serialization for _, event in events),
        "past_ids": texts(key for key, _ in past),
        "past_places": numbers(event.place for _, event in past),
        "past_keys": texts(event.key for _, event in past),
        "past_texts": texts(event.text for _, event in past),
        "past_formats": texts(event.serialization for _, event in past),
        "stream_ids": texts(key for key, _ in entries),
        "stream_keys": texts(entry.key for _, entry in entries),
        "stream_offsets": numbers(entry.offset for _, entry in entries),
        "stream_texts": texts(entry.text for _, entry in entries),
        "stream_formats": texts(entry.serialization for _, entry in entries),
        "stream_places": numbers(entry.place for _, entry in entries),
        "message_ids": texts(message.message_id for _, message in messages),
        "message_destinations": texts(key for key, _ in messages),
        "message_topics": texts(message.topic for _, message in messages),
        "message_texts": texts(message.text for _, message in messages),
        "message_formats": texts(message.serialization for _, message in messages),
        "message_created": numbers(message.created_at_ms for _, message in messages),
        "message_consumed": texts(str(message.is_consumed) for _, message in messages),
        "message_consumers": numbers(message.consumed_by for _, message in messages),
    }


def _rows(copies: Iterable[WorkflowCopy]) -> Params:
    found = [copy.row for copy in copies]
    return {
        "ids": texts(row.workflow_id for row in found),
        "statuses": texts(row.status for row in found),
        "names": texts(row.name for row in found),
        "queues": texts(row.queue for row in found),
        "priorities": numbers(row.priority for row in found),
        "apps": texts(row.app_name for row in found),
        "versions": texts(row.app_version for row in found),
        "attempts": numbers(row.attempts for row in found),
        "created": numbers(row.created_at_ms for row in found),
        "updated": numbers(row.updated_at_ms for row in found),
        "started": numbers(row.started_at_ms for row in found),
        "completed": numbers(row.completed_at_ms for row in found),
        "untils": numbers(row.delay_until_ms for row in found),
        "timeouts": numbers(row.timeout_ms for row in found),
        "deadlines": numbers(row.deadline_ms for row in found),
        "partitions": texts(row.partition_key for row in found),
        "schedules": texts(row.schedule_name for row in found),
        "parents": texts(row.parent_id for row in found),
        "users": texts(row.authenticated_user for row in found),
        "roles": texts(row.authenticated_roles for row in found),
        "assumed": texts(row.assumed_role for row in found),
        "attributes": texts(row.attributes for row in found),
        "sources": texts(row.forked_from for row in found),
        "forked": texts(str(row.was_forked_from) for row in found),
        "formats": texts(row.serialization for row in found),
        "inputs": texts(row.inputs for row in found),
        "outputs": texts(row.output for row in found),
        "errors": texts(row.error for row in found),
    }


def _ids(writes: list[ImportWorkflows]) -> Iterator[str]:
    return (copy.row.workflow_id for write in writes for copy in write.copies)


def _ask(writes: list[ImportWorkflows]) -> list[Call]:
    return [Call(SQL.classify_starts, classify_ids(copy.row.workflow_id for copy in write.copies)) for write in writes]


def _explain(group: Group, results: Results) -> Answers:
    """Answer which id is taken; none when it was deleted meanwhile, and the write is sent again."""
    answers: Answers = {}
    for (index, write), found in zip(group, results, strict=True):
        taken_by = [rows.workflow(record) for _, _, *record in found if record[0]]
        if taken_by:
            is_own_retry = all(row.creator == write.creator for row in taken_by)
            answers[index] = RECORDED if is_own_retry else Existing(taken_by[0])
    return answers


KINDS: Mapping[type, Kind] = {
    ImportWorkflows: Kind(
        calls=lambda writes: [
            Call(SQL.hold_buckets, hold_buckets(_ids(writes)), is_hot=True),
            *(Call(SQL.import_workflows, import_workflows(write)) for write in writes),
        ],
        read=lambda found, results: stored(found, results[1:]),
        question=Question(calls=_ask, read=_explain),
    )
}
