"""Messages on their way: what sends and receives them, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease

SEND_NAME, SEND_MANY_NAME, RECEIVE_NAME = "DBOS.send", "DBOS.send_bulk", "DBOS.recv"
"""The canonical names of their records, which other tools show too."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one workflow. Its id is made before the first try, so that it arrives once."""

    message_id: str
    destination_id: str
    topic: str
    text: str
    serialization: str


@dataclass(frozen=True, slots=True)
class SendMessages:
    """Send messages from outside of any run, all of them or none.

    One whose id is there already has been sent before. Answers `Recorded`, or `Missing` with a workflow that is not
    there.
    """

    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class RecordSend:
    """Send messages from a run, all of them or none, and record it at its place.

    They are sent only where the record was written. Answers like `RecordStep`, or `Missing`, with nothing recorded.
    """

    lease: Lease
    after: int | None
    place: int
    name: str
    letters: tuple[Letter, ...]
    started_at_ms: int
    completed_at_ms: int


@dataclass(frozen=True, slots=True)
class ReceiveMessage:
    """Consume the oldest message of a topic and record it at its place, the record first.

    Answers like `RecordStep`, with the message in `Recorded`. Where there is none it answers `Nothing`, with nothing
    recorded; with *is_timeout* it records that none came.
    """

    lease: Lease
    after: int | None
    place: int
    topic: str
    started_at_ms: int
    completed_at_ms: int
    is_timeout: bool = False


MessageWrite = SendMessages | RecordSend | ReceiveMessage
RunMessageWrite = RecordSend | ReceiveMessage
