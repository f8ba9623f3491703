"""What a workflow's body sends to other workflows, and receives from whoever sends to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from durust.codec import UNTYPED, Codec
from durust.errors import InvalidArgument
from durust.model.message_writes import RECEIVE_NAME
from durust.model.messages import Message
from durust.model.retry import StepOptions, duration_seconds
from durust.post import topic_of, write_down
from durust.routines.effects import Routine, StepEnd
from durust.routines.messages import receive, send
from durust.routines.run import Run
from durust.routines.steps import Task


class Mailbox(ABC):
    """The operations of an `async def` workflow."""

    _run: Run
    _codec: Codec
    _topics: set[str]
    """What tasks of the body wait for right now."""

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    def send(
        self, destination_id: str, message: Any, topic: str | None = None, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, None]:
        """Send a message to another workflow, once: it is on its way when this is recorded.

        Under an *idempotency_key* a workflow gets one message, whoever sends it and however often.

        Raises `WorkflowNotFound`, which is recorded, `SerializationError`, and `NotInWorkflow` in a step.
        """
        self._ensure_here("ctx.send")
        letter = write_down(self._codec, Message(destination_id, message, topic, idempotency_key))
        place = self._run.take_place()
        return self._end(place, send(self._run, place, letter))

    def recv(
        self, topic: str | None = None, timeout: float | timedelta | None = None, *, type: Any = None
    ) -> Coroutine[Any, Any, Any]:
        """Receive the oldest message of a topic, or of those without one, and wait for it; None when *timeout* is over.

        It is received once: its consumption and its record are one. How long it is waited for is recorded, and a long
        wait gives its slot and its memory back; the message wakes the workflow. What is received is rebuilt as *type*.

        Raises `InvalidArgument` while another task of this body waits for the same topic, `SerializationError` for a
        message that *type* does not fit, which is received all the same, and `NotInWorkflow` in a step.
        """
        self._ensure_here("ctx.recv")
        stored, seconds = topic_of(topic), _seconds(timeout)
        place = self._run.take_place_of_wait()
        return self._receive(place, stored, _task(self._codec, type), seconds)

    async def _receive(self, place: int, topic: str, task: Task, seconds: float | None) -> Any:
        # Tasks begin in the same order in every execution, so it is always the same one that is refused.
        if topic in self._topics:
            raise InvalidArgument("topic", topic, "another task of this workflow waits for it already")
        self._topics.add(topic)
        try:
            return await self._end(place, receive(self._run, place, topic, task, seconds), is_wait=True)
        finally:
            self._topics.discard(topic)


class SyncMailbox(ABC):
    """The operations of a `def` workflow."""

    _run: Run
    _codec: Codec

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    def send(
        self, destination_id: str, message: Any, topic: str | None = None, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to another workflow, once: it is on its way when this is recorded.

        Under an *idempotency_key* a workflow gets one message, whoever sends it and however often.

        Raises `WorkflowNotFound`, which is recorded, `SerializationError`, and `NotInWorkflow` in a step.
        """
        self._ensure_here("ctx.send")
        letter = write_down(self._codec, Message(destination_id, message, topic, idempotency_key))
        self._end(send(self._run, self._run.take_place(), letter))

    def recv(self, topic: str | None = None, timeout: float | timedelta | None = None, *, type: Any = None) -> Any:
        """Receive the oldest message of a topic, or of those without one, and wait for it; None when *timeout* is over.

        It is received once: its consumption and its record are one. How long it is waited for is recorded, and a long
        wait gives its thread back; the message wakes the workflow. What is received is rebuilt as *type*.

        Raises `InvalidArgument` for what cannot be meant, `SerializationError` for a
        message that *type* does not fit, which is received all the same, and `NotInWorkflow` in a step.
        """
        self._ensure_here("ctx.recv")
        stored, seconds = topic_of(topic), _seconds(timeout)
        place = self._run.take_place_of_wait()
        return self._end(receive(self._run, place, stored, _task(self._codec, type), seconds))


def _seconds(timeout: float | timedelta | None) -> float | None:
    return None if timeout is None else duration_seconds("timeout", timeout)


def _task(codec: Codec, kind: Any) -> Task:
    """Return what a received message is read with."""
    annotation = UNTYPED if kind is None else kind
    return Task(RECEIVE_NAME, _nothing, is_async=False, options=StepOptions(), annotation=annotation, codec=codec)


def _nothing() -> None:
    """Stand for the body of what has none."""
