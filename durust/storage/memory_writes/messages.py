"""Messages in memory: sent to workflows that are there, and received in their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from durust.model.message_writes import RECEIVE_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.model.records import MessageRow
from durust.model.waits import NULL_TOPIC
from durust.model.writes import Missing, Nothing, Outcome, Recorded
from durust.storage.memory_tables import PORTABLE, Kinds, Message, Tables
from durust.storage.memory_writes.guards import keep, refused


def send(tables: Tables, write: SendMessages) -> Outcome:
    """Send messages from outside of any run, all of them or none."""
    if missing := _lost(tables, write.letters):
        return Missing(missing)
    _send(tables, write.letters)
    return Recorded()


def record_send(tables: Tables, write: RecordSend) -> Outcome:
    """Send messages from a run, all of them or none, and record it."""
    if refusal := refused(tables, write):
        return refusal
    if missing := _lost(tables, write.letters):
        return Missing(missing)
    keep(tables, write, write.name)
    _send(tables, write.letters)
    return Recorded()


def receive(tables: Tables, write: ReceiveMessage) -> Outcome:
    """Consume the oldest message of a topic, and record it."""
    if refusal := refused(tables, write):
        return refusal
    found = unread(tables, write.lease.workflow_id, write.topic)
    if found is None and not write.is_timeout:
        return Nothing()
    text, serialization = (found.text, found.serialization) if found else ("null", PORTABLE)
    keep(tables, write, RECEIVE_NAME, text, serialization=serialization)
    if found is not None:
        tables.messages[found.message_id] = replace(found, consumed_by=write.place)
    return Recorded(output=text, serialization=serialization)


def unread(tables: Tables, workflow_id: str, topic: str) -> Message | None:
    """Return the oldest message of a topic that was not received yet."""
    wanted = workflow_id, topic, None
    messages = tables.messages.values()
    return next((one for one in messages if (one.destination, one.topic, one.consumed_by) == wanted), None)


def listed(tables: Tables, workflow_id: str) -> list[MessageRow]:
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
        for one in tables.messages.values()
        if one.destination == workflow_id
    ]


def _lost(tables: Tables, letters: Iterable[Letter]) -> str | None:
    """Return the first of the destinations that is not there."""
    targets = (letter.destination_id for letter in letters)
    return min((target for target in targets if target not in tables.workflows), default=None)


def _send(tables: Tables, letters: Iterable[Letter]) -> None:
    """Enter messages; one whose id is there already has been sent before."""
    for letter in letters:
        message = Message(
            message_id=letter.message_id,
            destination=letter.destination_id,
            topic=letter.topic,
            text=letter.text,
            serialization=letter.serialization,
            created_at_ms=tables.now_ms,
        )
        tables.messages.setdefault(letter.message_id, message)


KINDS: Kinds = {
    SendMessages: send,
    RecordSend: record_send,
    ReceiveMessage: receive,
}
