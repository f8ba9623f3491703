"""What a workflow's body sends to other workflows, and receives from whoever sends to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from durust.codec import Codec
from durust.model.messages import Message
from durust.post import write_down
from durust.routines.effects import Routine, StepEnd
from durust.routines.messages import send
from durust.routines.run import Run


class Mailbox(ABC):
    """The operations of an `async def` workflow."""

    _run: Run
    _codec: Codec

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
