"""Writes of messages turned into the parameters of Postgres's statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durust.model.message_writes import RECEIVE_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.storage.columns import Params, chained, numbers, texts


def lock_workflows(ids: Iterable[str]) -> Params:
    """Return the ids of workflows to lock."""
    return {"ids": texts(sorted(set(ids)))}


def record_sends(writes: Sequence[RecordSend]) -> Params:
    """Return the columns of runs that send, and of what they send."""
    letters = [(write, letter) for write in writes for letter in write.letters]
    return (
        chained(writes)
        | {
            "places": numbers(write.place for write in writes),
            "names": texts(write.name for write in writes),
            "started": numbers(write.started_at_ms for write in writes),
            "completed": numbers(write.completed_at_ms for write in writes),
            "letter_owners": texts(write.lease.workflow_id for write, _ in letters),
            "letter_places": numbers(write.place for write, _ in letters),
        }
        | _letters([letter for _, letter in letters])
    )


def send_messages(writes: Sequence[SendMessages]) -> Params:
    """Return the columns of messages, each with the number of its write."""
    letters = [(number, letter) for number, write in enumerate(writes) for letter in write.letters]
    return {"writes": numbers(number for number, _ in letters)} | _letters([letter for _, letter in letters])


def _letters(letters: Sequence[Letter]) -> Params:
    return {
        "letter_ids": texts(letter.message_id for letter in letters),
        "letter_targets": texts(letter.destination_id for letter in letters),
        "letter_topics": texts(letter.topic for letter in letters),
        "letter_texts": texts(letter.text for letter in letters),
        "letter_formats": texts(letter.serialization for letter in letters),
    }


def receive_messages(writes: Sequence[ReceiveMessage]) -> Params:
    """Return the columns of runs that receive."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "topics": texts(write.topic for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
        "timeouts": texts(str(write.is_timeout) for write in writes),
        "name": RECEIVE_NAME,
    }
