"""Whole workflows, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from durust.model.copies import EntryCopy, EventCopy, MessageCopy, WorkflowCopy
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.waits import NULL_TOPIC, StoredValue, StreamEntry
from durust.storage.memory_messages import Message, Messages


def copy_of(
    row: WorkflowRow,
    steps: Iterable[Checkpoint],
    events: Mapping[str, StoredValue],
    past_events: Mapping[tuple[int, str], StoredValue],
    streams: Mapping[str, list[StreamEntry]],
    messages: Messages,
) -> WorkflowCopy:
    """Return a workflow with all that is its own."""
    return WorkflowCopy(
        row=row,
        steps=tuple(sorted(steps, key=lambda step: step.place)),
        events=tuple(EventCopy(key, events[key].text, events[key].serialization) for key in sorted(events)),
        past_events=tuple(
            EventCopy(key, value.text, value.serialization, place)
            for place, key in sorted(past_events)
            for value in (past_events[place, key],)
        ),
        streams=tuple(
            EntryCopy(key, entry.offset, entry.text, entry.serialization, entry.place)
            for key in sorted(streams)
            for entry in streams[key]
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
            for one in messages.values()
            if one.destination == row.workflow_id
        ),
    )


def values(copy: WorkflowCopy) -> dict[str, StoredValue]:
    """Return the latest values of a copy's events."""
    return {event.key: StoredValue(event.text, event.serialization) for event in copy.events}


def past_values(copy: WorkflowCopy) -> dict[tuple[int, str], StoredValue]:
    """Return each value that was set."""
    return {(event.place or 0, event.key): StoredValue(event.text, event.serialization) for event in copy.past_events}


def entries(copy: WorkflowCopy) -> dict[str, list[StreamEntry]]:
    """Return the streams of a copy."""
    streams: dict[str, list[StreamEntry]] = {}
    for one in copy.streams:
        streams.setdefault(one.key, []).append(StreamEntry(one.offset, one.text, one.serialization, one.place))
    return streams


def deliver(messages: Messages, copy: WorkflowCopy) -> None:
    """Enter the messages of a copy behind all others."""
    for one in copy.messages:
        last = next(reversed(messages.values())).seq if messages else 0
        new = Message(
            seq=last + 1,
            message_id=one.message_id,
            destination=copy.row.workflow_id,
            topic=one.topic or NULL_TOPIC,
            text=one.text,
            serialization=one.serialization,
            created_at_ms=one.created_at_ms,
            # In memory a message is received by a record, or not at all.
            consumed_by=(one.consumed_by or 0) if one.is_consumed else None,
        )
        messages.setdefault(one.message_id, new)
