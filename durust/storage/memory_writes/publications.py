"""What runs publish in memory: the latest value of an event beside each that was set, and streams."""

from __future__ import annotations

from durust.model.publications import AppendStream, Closed, SetEvent
from durust.model.waits import STREAM_CLOSED, StoredValue, StreamEntry
from durust.model.writes import Outcome, Recorded
from durust.storage.memory_tables import Kinds, Tables
from durust.storage.memory_writes.guards import keep, refused


def set_event(tables: Tables, write: SetEvent) -> Outcome:
    """Record that an event was set; of two for one key that of the higher place stands."""
    if refusal := refused(tables, write):
        return refusal
    keep(tables, write, write.name)
    workflow_id, value = write.lease.workflow_id, StoredValue(write.text, write.serialization)
    kept = tables.event_history.setdefault(workflow_id, {})
    kept[write.place, write.key] = value
    if write.place == max(place for place, key in kept if key == write.key):
        tables.events.setdefault(workflow_id, {})[write.key] = value
    return Recorded()


def append(tables: Tables, write: AppendStream) -> Outcome:
    """Record that a stream was written or closed, and append to it unless it is closed already."""
    if refusal := refused(tables, write):
        return refusal
    stream = tables.streams.get(write.lease.workflow_id, {}).get(write.key, [])
    is_closed = bool(stream) and stream[-1].is_end
    if is_closed and write.text is not None:
        return Closed()
    keep(tables, write, write.name)
    if not is_closed:
        text = STREAM_CLOSED if write.text is None else write.text
        entry = StreamEntry(len(stream), text, write.serialization, write.place)
        tables.streams.setdefault(write.lease.workflow_id, {})[write.key] = [*stream, entry]
    return Recorded()


KINDS: Kinds = {
    SetEvent: set_event,
    AppendStream: append,
}
