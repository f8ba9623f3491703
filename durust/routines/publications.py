"""Publishing: an event that is set, a value that is written to a stream, the end of a stream."""

from __future__ import annotations

from durust.codec import PORTABLE_JSON, Encoded
from durust.errors import SerializationError, StreamClosed
from durust.model.publications import (
    CLOSE_STREAM_NAME,
    SET_EVENT_NAME,
    WRITE_STREAM_NAME,
    AppendStream,
    Closed,
    Publication,
    SetEvent,
)
from durust.model.writes import Refused
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd
from durust.routines.refusals import recalled, refuse
from durust.routines.run import Run


def set_event(run: Run, place: int, key: str, value: Encoded) -> Routine[StepEnd]:
    """Let the event *key* hold *value* from now on, unless history says that this was done."""
    run.ensure_open()
    if run.recall(place, SET_EVENT_NAME) is not None:
        return Returned(None)
    now_ms = run.stamp(place)
    write = SetEvent(run.lease, run.after, place, key, value.text or "null", value.serialization, now_ms, now_ms)
    return (yield from _publish(run, write))


def write_stream(run: Run, place: int, key: str, value: Encoded) -> Routine[StepEnd]:
    """Append *value* to the stream *key*, unless history says that this was done.

    Behind the end of the stream it is an error, which is recorded in its place.
    """
    run.ensure_open()
    record = run.recall(place, WRITE_STREAM_NAME)
    if record is not None:
        return recalled(record)
    now_ms = run.stamp(place)
    write = AppendStream(run.lease, run.after, place, key, value.text, value.serialization, now_ms, now_ms)
    return (yield from _publish(run, write))


def close_stream(run: Run, place: int, key: str) -> Routine[StepEnd]:
    """End the stream *key*, unless history says that this was done."""
    run.ensure_open()
    if run.recall(place, CLOSE_STREAM_NAME) is not None:
        return Returned(None)
    now_ms = run.stamp(place)
    write = AppendStream(run.lease, run.after, place, key, None, PORTABLE_JSON, now_ms, now_ms)
    return (yield from _publish(run, write))


def _publish(run: Run, write: Publication) -> Routine[StepEnd]:
    outcome = yield Commit(write)
    if isinstance(outcome, Closed):
        error = StreamClosed(run.workflow_id, write.key)
        return (yield from refuse(run, write.place, write.name, error, write.started_at_ms))
    accepted = run.accept(outcome, write.place, write.name)
    if isinstance(accepted, Refused):
        return Raised(SerializationError(f"value of {write.key!r}", accepted.reason, "publish what it can store"))
    return Returned(None)
