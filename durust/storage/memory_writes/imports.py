"""Whole workflows in memory, entered from another database."""

from __future__ import annotations

from dataclasses import replace

from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.waits import NULL_TOPIC, StoredValue, StreamEntry
from durust.model.writes import Existing, Outcome, Recorded
from durust.storage.memory_tables import Kinds, Message, Tables, bare


def enter(tables: Tables, write: ImportWorkflows) -> Outcome:
    """Enter workflows, all or none."""
    for copy in write.copies:
        if known := tables.workflows.get(copy.row.workflow_id):
            return Recorded() if known.creator == write.creator else Existing(bare(known))
    for copy in write.copies:
        key = copy.row.workflow_id
        tables.workflows[key] = replace(copy.row, creator=write.creator, executor_id=None, token=None, dedup_id=None)
        tables.history[key] = {step.place: step for step in copy.steps}
        tables.events[key] = {one.key: StoredValue(one.text, one.serialization) for one in copy.events}
        tables.event_history[key] = {
            (one.place or 0, one.key): StoredValue(one.text, one.serialization) for one in copy.past_events
        }
        tables.streams[key] = _streams(copy)
        _deliver(tables, copy)
    return Recorded()


def _streams(copy: WorkflowCopy) -> dict[str, list[StreamEntry]]:
    streams: dict[str, list[StreamEntry]] = {}
    for one in copy.streams:
        streams.setdefault(one.key, []).append(StreamEntry(one.offset, one.text, one.serialization, one.place))
    return streams


def _deliver(tables: Tables, copy: WorkflowCopy) -> None:
    """Enter the messages of a copy behind all others."""
    for one in copy.messages:
        message = Message(
            message_id=one.message_id,
            destination=copy.row.workflow_id,
            topic=one.topic or NULL_TOPIC,
            text=one.text,
            serialization=one.serialization,
            created_at_ms=one.created_at_ms,
            # In memory a message is received by a record, or not at all.
            consumed_by=(one.consumed_by or 0) if one.is_consumed else None,
        )
        tables.messages.setdefault(one.message_id, message)


KINDS: Kinds = {
    ImportWorkflows: enter,
}
