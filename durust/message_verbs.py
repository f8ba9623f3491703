"""What engines and clients offer to whoever sends messages to workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from durust.model.messages import Message
from durust.model.records import MessageRow
from durust.post import Post
from durust.verbs import Verbs, plain_codec


class MessageVerbs(Verbs):
    """The verbs that block."""

    def send(
        self, destination_id: str, message: Any, topic: str | None = None, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow, which receives it with `ctx.recv`; return once that is committed.

        Under an *idempotency_key* a workflow gets one message, however often it is sent. In a step this happens as
        often as the step does, so give it a key there.

        Raises `WorkflowNotFound`, `SerializationError`, `ProviderUnavailable`, and `InvalidArgument` in a workflow's
        body, which has `ctx.send`.
        """
        self._post_of("send").send([Message(destination_id, message, topic, idempotency_key)])

    def send_many(self, messages: Iterable[Message]) -> None:
        """Send messages to one workflow or many, in one transaction: all of them or none. Raises what `send` raises."""
        self._post_of("send_many").send(messages)

    def list_messages(self, workflow_id: str) -> list[MessageRow]:
        """List all messages to a workflow, the oldest first, received or not; an unknown id has none."""
        return self._post_of("list_messages").messages(workflow_id)

    def _post_of(self, asked: str) -> Post:
        footing = self._footing(asked)
        return Post(footing.provider, footing.journal, plain_codec(footing.settings))


class AsyncMessageVerbs:
    """The verbs that are awaited."""

    _blocking: MessageVerbs

    async def send(
        self, destination_id: str, message: Any, topic: str | None = None, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.send, destination_id, message, topic, idempotency_key=idempotency_key)

    async def send_many(self, messages: Iterable[Message]) -> None:
        """Send messages in one transaction, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.send_many, messages)

    async def list_messages(self, workflow_id: str) -> list[MessageRow]:
        """List all messages to a workflow, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.list_messages, workflow_id)
