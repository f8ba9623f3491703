"""What runs publish on SQLite: the latest value of an event beside each that was set, and streams."""

from __future__ import annotations

from durust.model.publications import AppendStream, Closed, Publication, SetEvent
from durust.model.waits import STREAM_CLOSED
from durust.model.writes import Outcome, Recorded
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, keep


def set_event(transaction: Transaction, write: SetEvent) -> Outcome:
    """Record that an event was set; of two for one key that of the higher place stands."""
    if not keep(transaction, write, write.name):
        return explain(transaction, write) or Recorded()
    values = _values(write)
    transaction.change(SQL.keep_events, values)
    transaction.change(SQL.set_events, values)
    return Recorded()


def append(transaction: Transaction, write: AppendStream) -> Outcome:
    """Record that a stream was written or closed, and append to it unless it is closed already."""
    values = _values(write)
    [(offset, is_closed)] = transaction.rows(SQL.find_stream_ends, values)
    if is_closed and write.text is not None:
        return explain(transaction, write) or Closed()
    if not keep(transaction, write, write.name):
        return explain(transaction, write) or Recorded()
    if not is_closed:
        text = STREAM_CLOSED if write.text is None else write.text
        transaction.change(SQL.append_streams, values | {"offset": offset, "text": text})
    return Recorded()


def _values(write: Publication) -> dict[str, Param]:
    return {
        "id": write.lease.workflow_id,
        "place": write.place,
        "key": write.key,
        "text": write.text,
        "format": write.serialization,
    }


KINDS: Kinds = {
    SetEvent: set_event,
    AppendStream: append,
}
