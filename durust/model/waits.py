"""What somebody may wait for, and what there is when it has come."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.status import Status

SLEEP = "sleep"
MESSAGE = "message"
EVENT = "event"
RESULT = "result"
STREAM = "stream"

NULL_TOPIC = "__null__topic__"
"""The canonical name of the topic of messages without one."""
STREAM_CLOSED = '"__DBOS_STREAM_CLOSED__"'
"""The canonical last entry of a closed stream, in plain JSON; other libraries write it without its quotes."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """One thing that can be waited for."""

    kind: str
    target: str
    """The workflow: the one that receives a message, sets an event, writes a stream or has a result."""
    key: str = ""
    """The topic, or the key of the event or stream."""
    at: int = 0
    """Of a stream: the first offset that was not read yet."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value as it is written."""

    text: str
    serialization: str | None


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One value of a stream, as it is written."""

    offset: int
    text: str
    serialization: str | None
    place: int = 0
    """The place of its writer's history at which it was appended."""

    @property
    def is_end(self) -> bool:
        """Tell whether the stream was closed here."""
        return self.text.strip('"') == STREAM_CLOSED.strip('"')


@dataclass(frozen=True, slots=True)
class Ending:
    """How a workflow ended, as the database holds it."""

    status: Status
    output: str | None
    error: str | None
    serialization: str | None
    is_timed_out: bool = False
    """Whether it was cancelled because of its deadline."""
