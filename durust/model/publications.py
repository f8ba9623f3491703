"""What a run publishes for others to read, as frozen values: its events and its streams."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease

SET_EVENT_NAME = "DBOS.setEvent"
WRITE_STREAM_NAME = "DBOS.writeStream"
CLOSE_STREAM_NAME = "DBOS.closeStream"


@dataclass(frozen=True, slots=True)
class SetEvent:
    """Record that an event was set, and let its key hold this value from now on; each value is kept by its place.

    Of two for one key that of the higher place stands, whichever comes first. Answers like `RecordStep`.
    """

    lease: Lease
    after: int | None
    place: int
    key: str
    text: str
    serialization: str
    started_at_ms: int
    completed_at_ms: int

    @property
    def name(self) -> str:
        """Return the name of its record."""
        return SET_EVENT_NAME


@dataclass(frozen=True, slots=True)
class AppendStream:
    """Record that a value was written to a stream, and append it; without a text, close the stream.

    Values of one batch are appended in its order. Closing a closed stream is recorded and changes nothing. Answers like
    `RecordStep`, or `Closed` for a value that comes behind the end of its stream.
    """

    lease: Lease
    after: int | None
    place: int
    key: str
    text: str | None
    serialization: str
    started_at_ms: int
    completed_at_ms: int

    @property
    def name(self) -> str:
        """Return the name of its record."""
        return CLOSE_STREAM_NAME if self.text is None else WRITE_STREAM_NAME


Publication = SetEvent | AppendStream


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream has ended; nothing was recorded."""
