"""Messages on SQLite: sent where their record was written, and consumed where theirs was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from durust.model.message_writes import RECEIVE_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.model.writes import Missing, Nothing, Outcome, Recorded
from durust.storage import statements
from durust.storage.links import Param, Row
from durust.storage.statements import Statement

SQL = statements.load("sqlite")

Explain = Callable[[], Outcome | None]
Params = dict[str, Param]


class Statements(Protocol):
    """What runs one statement at a time in a write transaction."""

    def rows(self, statement: Statement, params: Mapping[str, Param]) -> list[Row]:
        """Run a statement and return its rows."""

    def change(self, statement: Statement, params: Mapping[str, Param]) -> int:
        """Run a statement and return how many rows it changed."""


def send(transaction: Statements, write: SendMessages) -> Outcome:
    """Send messages from outside of any run, all of them or none."""
    if lost := _lost(transaction, write.letters):
        return Missing(lost)
    _send(transaction, write.letters)
    return Recorded()


def record_send(transaction: Statements, write: RecordSend, guard: Params, explain: Explain) -> Outcome:
    """Record a send at its place, and send where that was written."""
    if lost := _lost(transaction, write.letters):
        return explain() or Missing(lost)
    if not _record(transaction, write, guard, write.name, (None, "portable_json")):
        return explain() or Recorded()
    _send(transaction, write.letters)
    return Recorded()


def receive(transaction: Statements, write: ReceiveMessage, guard: Params, explain: Explain) -> Outcome:
    """Record the oldest message at the receiver's place, and consume it where that was written."""
    found = transaction.rows(SQL.find_message, {"id": write.lease.workflow_id, "topic": write.topic})
    if not found and not write.is_timeout:
        return explain() or Nothing()
    message_id, text, serialization = found[0] if found else (None, "null", "portable_json")
    if not _record(transaction, write, guard, RECEIVE_NAME, (text, serialization)):
        return explain() or Recorded()
    if message_id is not None:
        transaction.change(SQL.consume_messages, {"message": message_id, "place": write.place})
    return Recorded(output=text, serialization=serialization)


def _record(
    transaction: Statements,
    write: RecordSend | ReceiveMessage,
    guard: Params,
    name: str,
    value: tuple[str | None, str | None],
) -> int:
    text, serialization = value
    record: Params = {
        "place": write.place,
        "name": name,
        "output": text,
        "error": None,
        "format": serialization,
        "started": write.started_at_ms,
        "completed": write.completed_at_ms,
    }
    return transaction.change(SQL.record_steps, guard | record)


def _lost(transaction: Statements, letters: Iterable[Letter]) -> str | None:
    """Return the first of the destinations that is not there."""
    destinations = sorted({letter.destination_id for letter in letters})
    return next((each for each in destinations if not transaction.rows(SQL.find_workflow, {"id": each})), None)


def _send(transaction: Statements, letters: Iterable[Letter]) -> None:
    for letter in letters:
        values: Params = {
            "id": letter.message_id,
            "destination": letter.destination_id,
            "topic": letter.topic,
            "text": letter.text,
            "format": letter.serialization,
        }
        transaction.change(SQL.send_messages, values)
