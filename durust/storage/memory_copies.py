"""Whole workflows in memory: taken out for another database, and entered from one."""

from __future__ import annotations

from dataclasses import replace

from durust.model.copies import EntryCopy, EventCopy, ImportWorkflows, MessageCopy, WorkflowCopy, order
from durust.model.records import WorkflowRow
from durust.model.waits import NULL_TOPIC, StoredValue, StreamEntry
from durust.model.writes import Existing, Outcome, Recorded
from durust.storage.memory_tables import Message, Tables, bare


def copies(tables: Tables, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
    """Return a workflow as a whole and, where asked for, its descendants."""
    found = [tables.workflows[workflow_id]] if workflow_id in tables.workflows else []
    for parent in found if children else ():
        found += [row for row in tables.workflows.values() if row.parent_id == parent.workflow_id and row not in found]
    return sorted((_copy(tables, row) for row in found), key=lambda copy: order(workflow_id, copy))


def _copy(tables: Tables, row: WorkflowRow) -> WorkflowCopy:
    key = row.workflow_id
    events, past_events = tables.events.get(key, {}), tables.event_history.get(key, {})
    streams = tables.streams.get(key, {})
    return WorkflowCopy(
        row=row,
        steps=tuple(sorted(tables.history.get(key, {}).values(), key=lambda step: step.place)),
        events=tuple(EventCopy(name, events[name].text, events[name].serialization) for name in sorted(events)),
        past_events=tuple(
            EventCopy(name, value.text, value.serialization, place)
            for place, name in sorted(past_events)
            for value in (past_events[place, name],)
        ),
        streams=tuple(
            EntryCopy(name, entry.offset, entry.text, entry.serialization, entry.place)
            for name in sorted(streams)
            for entry in streams[name]
        ),
        messages=tuple(
            MessageCopy(
                message_id=one.message_id,
                topic=one.topic,
                text=one.text,
                serialization=one.serialization,
                created_at_ms=one.created_at_ms,
                is_consumed=one.consumed_by is not None,
                consumed_by=one.consumed_by,
            )
            for one in tables.messages.values()
            if one.destination == key
        ),
    )


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
