"""Whole workflows in memory: taken out for another database."""

from __future__ import annotations

from durust.model.copies import EntryCopy, EventCopy, MessageCopy, WorkflowCopy, order
from durust.model.records import WorkflowRow
from durust.storage.memory_tables import Tables


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
