"""Messages on SQLite: sent where their record was written, and consumed where theirs was."""

from __future__ import annotations

from collections.abc import Iterable

from durust.model.message_writes import RECEIVE_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.model.writes import Missing, Nothing, Outcome, Recorded
from durust.storage.links import Param
from durust.storage.sqlite_statements import PORTABLE, SQL, Kinds, Statements, Transaction
from durust.storage.sqlite_writes.guards import explain, keep


def send(transaction: Statements, write: SendMessages) -> Outcome:
    """Send messages from outside of any run, all of them or none."""
    if lost := _lost(transaction, write.letters):
        return Missing(lost)
    _send(transaction, write.letters)
    return Recorded()


def record_send(transaction: Transaction, write: RecordSend) -> Outcome:
    """Send messages from a run, all of them or none, and record it."""
    if lost := _lost(transaction, write.letters):
        return explain(transaction, write) or Missing(lost)
    if not keep(transaction, write, write.name):
        return explain(transaction, write) or Recorded()
    _send(transaction, write.letters)
    return Recorded()


def receive(transaction: Transaction, write: ReceiveMessage) -> Outcome:
    """Record the oldest message at the receiver's place, and consume it where that was written."""
    found = transaction.rows(SQL.find_message, {"id": write.lease.workflow_id, "topic": write.topic})
    if not found and not write.is_timeout:
        return explain(transaction, write) or Nothing()
    message_id, text, serialization = found[0] if found else (None, "null", PORTABLE)
    if not keep(transaction, write, RECEIVE_NAME, text, serialization):
        return explain(transaction, write) or Recorded()
    if message_id is not None:
        transaction.change(SQL.consume_messages, {"message": message_id, "place": write.place})
    return Recorded(output=text, serialization=serialization)


def _lost(transaction: Statements, letters: Iterable[Letter]) -> str | None:
    """Return the first of the destinations that is not there."""
    destinations = sorted({letter.destination_id for letter in letters})
    return next((each for each in destinations if not transaction.rows(SQL.find_workflow, {"id": each})), None)


def _send(transaction: Statements, letters: Iterable[Letter]) -> None:
    for letter in letters:
        values: dict[str, Param] = {
            "id": letter.message_id,
            "destination": letter.destination_id,
            "topic": letter.topic,
            "text": letter.text,
            "format": letter.serialization,
        }
        transaction.change(SQL.send_messages, values)


KINDS: Kinds = {
    SendMessages: send,
    RecordSend: record_send,
    ReceiveMessage: receive,
}
