"""What somebody may wait for, and what there is when it has come."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import WorkflowRow
from durust.model.status import Status

SLEEP = "sleep"
MESSAGE = "message"
EVENT = "event"
RESULT = "result"
STREAM = "stream"

NULL_TOPIC = "__null__topic__"
"""The canonical name of the topic of messages without one."""
STREAM_ENTRIES_MAX = 1000
"""So many entries of a stream are read at once; who wants more asks again."""
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


@dataclass(frozen=True, slots=True)
class Gone:
    """The workflow that was waited for is not there: it was deleted, or there never was one."""


@dataclass(frozen=True, slots=True)
class StreamTail:
    """What a stream holds from an offset on."""

    entries: tuple[StreamEntry, ...]
    is_over: bool = False
    """Whether its writer has ended, so that nothing comes behind them."""


Found = StoredValue | StreamTail | Ending | Gone | bool
"""What there is: a value, entries of a stream, an ending, or just that a message is there."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that was waited for has come."""

    awaited: Awaited
    found: Found


@dataclass(frozen=True, slots=True)
class Wake:
    """Whoever is parked for this is to go on."""

    kind: str
    target: str
    key: str | None = None
    """None: whatever the key."""


def ending_of(row: WorkflowRow) -> Ending:
    """Return how a terminal row ended."""
    return Ending(row.status, row.output, row.error, row.serialization, row.is_timed_out)
