"""Messages on Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from durust.model.message_writes import RECEIVE_NAME, Letter, ReceiveMessage, RecordSend, SendMessages
from durust.model.writes import Missing, Nothing, Outcome, Recorded
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.guards import RUNS, chained, place_of
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


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


def _sent(found: Group, results: Results) -> Answers:
    """Answer the sends of runs that were recorded, or name a workflow that is not there."""
    came_back = {(row[0], row[1]): RECORDED if row[2] is None else Missing(row[2]) for row in results[0]}
    return {index: came_back[key] for index, write in found if (key := place_of(write)) in came_back}


def _delivered(found: Group, results: Results) -> Answers:
    lost: dict[int, str] = dict(results[0])
    return {index: Missing(lost[number]) if number in lost else RECORDED for number, (index, _) in enumerate(found)}


def _received(found: Group, results: Results) -> Answers:
    came_back: dict[tuple[str, int], Outcome] = {
        (workflow_id, place): Recorded(output=output, serialization=serialization) if is_recorded else Nothing()
        for workflow_id, place, is_recorded, output, serialization in results[0]
    }
    return {index: came_back[key] for index, write in found if (key := place_of(write)) in came_back}


KINDS: Mapping[type, Kind] = {
    RecordSend: Kind(
        key=place_of,
        calls=lambda writes: [Call(SQL.record_sends, record_sends(writes), is_hot=True)],
        read=_sent,
        question=RUNS,
    ),
    SendMessages: Kind(
        calls=lambda writes: [Call(SQL.send_messages, send_messages(writes), is_hot=True)], read=_delivered
    ),
    ReceiveMessage: Kind(
        # Two of one topic in one statement would pick the same message.
        key=lambda write: (write.lease.workflow_id, write.topic),
        calls=lambda writes: [Call(SQL.receive_messages, receive_messages(writes), is_hot=True)],
        read=_received,
        question=RUNS,
    ),
}
