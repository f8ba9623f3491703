"""The messages of the memory provider, in the order in which they were sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from durust.model.message_writes import Letter
from durust.model.records import MessageRow
from durust.model.waits import NULL_TOPIC


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way, or one that was received."""

    seq: int
    """Its place in the order of all messages."""
    message_id: str
    destination: str
    topic: str
    text: str
    serialization: str | None
    created_at_ms: int
    consumed_by: int | None = None
    """The place at which it was received; None while it waits."""


Messages = dict[str, Message]
"""By their ids, in their order."""


def send(messages: Messages, letters: Iterable[Letter], now_ms: int) -> None:
    """Enter messages; one whose id is there already has been sent before."""
    for letter in letters:
        last = next(reversed(messages.values())).seq if messages else 0
        new = Message(
            seq=last + 1,
            message_id=letter.message_id,
            destination=letter.destination_id,
            topic=letter.topic,
            text=letter.text,
            serialization=letter.serialization,
            created_at_ms=now_ms,
        )
        messages.setdefault(letter.message_id, new)


def unread(messages: Messages, workflow_id: str, topic: str) -> Message | None:
    """Return the oldest message of a topic that was not received yet."""
    wanted = workflow_id, topic, None
    return next((one for one in messages.values() if (one.destination, one.topic, one.consumed_by) == wanted), None)


def consume(messages: Messages, message: Message, place: int) -> None:
    """Mark a message as received at *place*."""
    messages[message.message_id] = replace(message, consumed_by=place)


def listed(messages: Messages, workflow_id: str) -> list[MessageRow]:
    """Return all messages to a workflow as a reader sees them."""
    return [
        MessageRow(
            message_id=one.message_id,
            destination_id=one.destination,
            topic=None if one.topic == NULL_TOPIC else one.topic,
            text=one.text,
            serialization=one.serialization,
            created_at_ms=one.created_at_ms,
            is_consumed=one.consumed_by is not None,
            consumed_by=one.consumed_by,
        )
        for one in messages.values()
        if one.destination == workflow_id
    ]


def lost(letters: Iterable[Letter], known: Collection[str]) -> str | None:
    """Return the first of the destinations that is not among the *known*."""
    return min((letter.destination_id for letter in letters if letter.destination_id not in known), default=None)
