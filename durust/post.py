"""The way of messages into the database: written down, given an id before the first try, and committed together."""

from __future__ import annotations

from collections.abc import Iterable

from durust import clock
from durust.admission import COMMIT_SECONDS
from durust.codec import Codec
from durust.engine.current import in_body
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, ProviderUnavailable, WorkflowNotFound
from durust.model.message_writes import Letter, SendMessages
from durust.model.messages import Message
from durust.model.names import check_name
from durust.model.records import MessageRow
from durust.model.waits import NULL_TOPIC
from durust.model.writes import Missing, Outcome, Recorded, Refused
from durust.shapes import MIRRORED
from durust.storage.provider import StateProvider

# What parts the key from the receiver in the id of a message; the canonical text, so that all libraries agree on it.
_BETWEEN = "::"


class Post:
    """Sends messages from outside of workflows' bodies, and shows what was sent."""

    def __init__(self, provider: StateProvider, journal: Journal, codec: Codec) -> None:
        self._provider, self._journal, self._codec = provider, journal, codec

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages in one transaction, all of them or none.

        Raises `WorkflowNotFound`, `SerializationError`, `InvalidArgument`, `ProviderUnavailable`.
        """
        letters = self.letters(messages)
        if letters:
            demand_sent(self._journal.commit(SendMessages(letters), COMMIT_SECONDS))

    def letters(self, messages: Iterable[Message]) -> tuple[Letter, ...]:
        """Write messages down."""
        if (activity := in_body()) is not None:
            raise InvalidArgument(
                "message",
                activity.run.workflow_id,
                "a workflow's body runs again after a crash, and would send again: use ctx.send",
            )
        return tuple(write_down(self._codec, message) for message in messages)

    def messages(self, workflow_id: str) -> list[MessageRow]:
        """Read all messages to a workflow, the oldest first."""
        return self._provider.messages(check_name("workflow_id", workflow_id))


def write_down(codec: Codec, message: Message) -> Letter:
    """Write a message as its own type says; whoever receives it has to know that type."""
    if not isinstance(message, Message):
        raise InvalidArgument("messages", message, 'must be Messages, as in [Message("order-1", "paid")]')
    destination_id = check_name("destination_id", message.destination_id)
    encoded = codec.dump(message.message, MIRRORED, what=f"message to {destination_id}")
    return Letter(
        message_id=_message_id(message.idempotency_key, destination_id),
        destination_id=destination_id,
        topic=topic_of(message.topic),
        # Of no value only JSON has none; it is written there too.
        text="null" if encoded.text is None else encoded.text,
        serialization=encoded.serialization,
    )


def topic_of(topic: str | None) -> str:
    """Return a topic as it is stored. Raises `InvalidArgument` for one that no database can hold."""
    return NULL_TOPIC if topic is None else check_name("topic", topic)


def _message_id(key: str | None, destination_id: str) -> str:
    if key is None:
        return clock.ordered_id()
    check_name("idempotency_key", key)
    if _BETWEEN in key or key.endswith(_BETWEEN[0]):
        # With another receiver it would be the id of another message.
        raise InvalidArgument("idempotency_key", key, f"must not contain {_BETWEEN!r}, nor end with {_BETWEEN[0]!r}")
    return f"{key}{_BETWEEN}{destination_id}"


def demand_sent(outcome: Outcome) -> None:
    """Raise what the answer to a send says, unless it stands."""
    match outcome:
        case Recorded():
            return
        case Missing(workflow_id):
            raise WorkflowNotFound(workflow_id or "")
        case Refused(reason):
            raise InvalidArgument("message", reason, "the database refused it")
        case _:
            raise ProviderUnavailable("the database", f"an unexpected answer to a message: {outcome}")
