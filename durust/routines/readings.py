"""Reading what workflows publish, inside of a workflow: each value is recorded, so a replay reads the same."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from durust.codec import PORTABLE_JSON, Codec
from durust.errors import SerializationError, StepCancelled, StreamTimedOut, WorkflowNotFound
from durust.model.records import Checkpoint
from durust.model.waits import (
    EVENT,
    STREAM,
    STREAM_ENTRIES_MAX,
    Arrival,
    Awaited,
    Found,
    StoredValue,
    StreamEntry,
    StreamTail,
)
from durust.model.writes import RecordStep, Refused
from durust.routines.effects import Await, Commit, Cut, Raised, Returned, Routine, StepEnd
from durust.routines.refusals import refuse
from durust.routines.run import Run
from durust.routines.waits import cut, fix_timeout

GET_EVENT_NAME, READ_STREAM_NAME = "DBOS.getEvent", "DBOS.readStream"
"""The canonical names of their records, which other tools show too."""
END: Final = object()
"""What a read answers behind the last value of a stream."""
_ERRORS = Codec()


@dataclass(frozen=True, slots=True)
class Form:
    """How the text of a value becomes a value."""

    codec: Codec
    annotation: Any
    what: str

    def load(self, text: str | None, serialization: str | None) -> Any:
        """Return the value. Raises `SerializationError`."""
        return self.codec.load(text, serialization, self.annotation, what=self.what)


@dataclass(slots=True)
class Cursor:
    """How far a stream was read, and what came along that was not asked for yet."""

    workflow_id: str
    key: str
    offset: int
    ahead: deque[StreamEntry] = field(default_factory=deque)
    is_over: bool = False
    """Whether nothing comes behind what is ahead, because the writer has ended."""

    @property
    def awaited(self) -> Awaited:
        """Return what there is to wait for."""
        return Awaited(STREAM, self.workflow_id, self.key, self.offset)

    @property
    def is_known(self) -> bool:
        """Tell whether the next value, or that there is none, is known already."""
        return bool(self.ahead) or self.is_over

    def take_in(self, tail: StreamTail) -> None:
        """Note what was read ahead."""
        self.ahead.extend(tail.entries)
        # Of more entries than are read at once the rest comes with the next look.
        self.is_over = tail.is_over and len(tail.entries) < STREAM_ENTRIES_MAX

    def take(self) -> StreamEntry | None:
        """Go on by one value and return it, or None where the stream ends."""
        if not self.ahead or self.ahead[0].is_end:
            return None
        entry = self.ahead.popleft()
        self.offset = entry.offset + 1
        return entry


def get_event(run: Run, place: int, workflow_id: str, key: str, seconds: float | None, form: Form) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise wait for the event and record its value, or that none came."""
    run.ensure_open()
    record = run.recall(place, GET_EVENT_NAME)
    if record is not None:
        return _recalled(record, form)
    started_at_ms = run.now_ms()
    until_ms = yield from fix_timeout(run, place + 1, seconds)
    answer = yield Await(place, (Awaited(EVENT, workflow_id, key),), until_ms)
    run.ensure_open()
    if isinstance(answer, Cut):
        return (yield from cut(run, place, GET_EVENT_NAME))
    return (yield from _record(run, place, GET_EVENT_NAME, _value(answer), form, started_at_ms))


def read_stream(run: Run, place: int, cursor: Cursor, seconds: float | None, form: Form) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise wait for the next value and record it, or that none follows.

    Behind the last one it answers `END`; a wait that took too long is a `StreamTimedOut`, recorded.
    """
    run.ensure_open()
    record = run.recall(place, READ_STREAM_NAME)
    if record is not None:
        cursor.offset += record.output is not None
        return Returned(END) if record.output is None and record.error is None else _recalled(record, form)
    started_at_ms = run.now_ms()
    if not cursor.is_known:
        until_ms = yield from fix_timeout(run, place + 1, seconds)
        answer = yield Await(place, (cursor.awaited,), until_ms)
        run.ensure_open()
        if isinstance(answer, Cut):
            return (yield from cut(run, place, READ_STREAM_NAME))
        tail = _tail(answer)
        if not isinstance(tail, StreamTail):
            late = StreamTimedOut(cursor.workflow_id, cursor.key, cursor.offset, seconds or 0.0)
            error = late if tail is None else WorkflowNotFound(cursor.workflow_id)
            return (yield from refuse(run, place, READ_STREAM_NAME, error, started_at_ms))
        cursor.take_in(tail)
    entry = cursor.take()
    end = yield from _record(run, place, READ_STREAM_NAME, entry, form, started_at_ms)
    return Returned(END) if entry is None and isinstance(end, Returned) else end


def _value(answer: Arrival | None) -> StoredValue | None:
    return answer.found if answer is not None and isinstance(answer.found, StoredValue) else None


def _tail(answer: Arrival | None) -> Found | None:
    return None if answer is None else answer.found


def _record(
    run: Run, place: int, name: str, value: StoredValue | StreamEntry | None, form: Form, started_at_ms: int
) -> Routine[StepEnd]:
    """Record *value* as it is written, or that there is none, which is not the value None."""
    outcome = yield Commit(
        RecordStep(
            lease=run.lease,
            after=run.after,
            place=place,
            name=name,
            output=None if value is None else value.text,
            error=None,
            serialization=PORTABLE_JSON if value is None else value.serialization or PORTABLE_JSON,
            started_at_ms=started_at_ms,
            completed_at_ms=run.stamp(place),
        )
    )
    accepted = run.accept(outcome, place, name)
    if isinstance(accepted, Refused):
        return Raised(SerializationError(form.what, accepted.reason, "have a value written that it can store"))
    return _loaded(form, value) if value is not None else Returned(None)


def _recalled(record: Checkpoint, form: Form) -> StepEnd:
    if record.error is None and record.output is None:
        return Returned(None)
    if record.output is not None:
        return _loaded(form, StoredValue(record.output, record.serialization))
    error = _ERRORS.load_error(record.error, record.serialization)
    return Cut() if isinstance(error, StepCancelled) else Raised(error)


def _loaded(form: Form, value: StoredValue | StreamEntry) -> StepEnd:
    try:
        return Returned(form.load(value.text, value.serialization))
    except SerializationError as error:
        return Raised(error)
