"""A reference to another workflow, as the body of a running one holds it: what it is asked for is recorded."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from durust.codec import UNTYPED, Codec
from durust.handle import read_ending
from durust.model.waits import Found

T = TypeVar("T")


class Asking(Protocol):
    """The context of an `async def` workflow, as its handles use it."""

    def _ask_result(self, handle: Reference, timeout: float | timedelta | None) -> Coroutine[Any, Any, Any]:
        """Wait for the result of the workflow that *handle* refers to; recorded."""


class SyncAsking(Protocol):
    """The context of a `def` workflow, as its handles use it."""

    def _ask_result(self, handle: Reference, timeout: float | timedelta | None) -> Any:
        """Wait for the result of the workflow that *handle* refers to; recorded."""


class Reference:
    """What handles of both colours share: of which workflow they speak, and how its result is read."""

    def __init__(self, workflow_id: str, codec: Codec, result_type: Any) -> None:
        self._id = workflow_id
        self.codec = codec
        self.result_type = UNTYPED if result_type is None else result_type

    @property
    def id(self) -> str:
        """Return the workflow's id."""
        return self._id

    def read(self, found: Found) -> Any:
        """Return the result that is there, or raise the error."""
        return read_ending(self._id, found, self.codec, self.result_type)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"


class DurableHandle(Reference, Generic[T]):
    """Another workflow, in the body of an `async def` workflow; it works only there."""

    def __init__(self, workflow_id: str, context: Asking, codec: Codec, result_type: Any = UNTYPED) -> None:
        super().__init__(workflow_id, codec, result_type)
        self._context = context

    def get_result(self, timeout: float | timedelta | None = None) -> Coroutine[Any, Any, T]:
        """Wait for the workflow to end and return its result, or raise its error; recorded, so a replay sees the same.

        A long wait gives the slot back. Raises `TimeoutError` after *timeout* seconds, and the workflow goes on;
        `WorkflowCancelled`, or its kind `WorkflowTimedOut`; `MaxRecoveryAttemptsExceeded`; `WorkflowNotFound`.
        """
        return self._context._ask_result(self, timeout)  # noqa: SLF001  the two halves of one operation

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the workflow to end and return its result, or raise its error."""
        return self.get_result().__await__()


class SyncDurableHandle(Reference, Generic[T]):
    """Another workflow, in the body of a `def` workflow; it works only there."""

    def __init__(self, workflow_id: str, context: SyncAsking, codec: Codec, result_type: Any = UNTYPED) -> None:
        super().__init__(workflow_id, codec, result_type)
        self._context = context

    def get_result(self, timeout: float | timedelta | None = None) -> T:
        """Wait for the workflow to end and return its result, or raise its error; recorded, so a replay sees the same.

        A long wait gives the thread back. Raises `TimeoutError` after *timeout* seconds, and the workflow goes on;
        `WorkflowCancelled`, or its kind `WorkflowTimedOut`; `MaxRecoveryAttemptsExceeded`; `WorkflowNotFound`.
        """
        result: T = self._context._ask_result(self, timeout)  # noqa: SLF001  the two halves of one operation
        return result
