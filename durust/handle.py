"""A reference to one workflow, wherever it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from durust.codec import UNTYPED, Codec
from durust.engine.watcher import Watcher
from durust.errors import (
    MaxRecoveryAttemptsExceeded,
    ProviderUnavailable,
    WorkflowCancelled,
    WorkflowNotFound,
    WorkflowTimedOut,
)
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.retry import duration_seconds
from durust.model.status import Status
from durust.model.waits import RESULT, Awaited, Ending, Found, ending_of
from durust.storage import lent
from durust.storage.provider import StateProvider

T = TypeVar("T")


class Source(Protocol):
    """Where a handle reads: an engine, or a client."""

    @property
    def provider(self) -> StateProvider:
        """Return the database. Blocks, and raises `ProviderUnavailable`, where it is still to be opened."""

    @property
    def watcher(self) -> Watcher:
        """Return what waits for workflows to end. Neither blocks nor asks the database."""


class WorkflowHandle(Generic[T]):
    """One workflow by its id. It may be used from any thread, and its result read again and again."""

    def __init__(self, workflow_id: str, source: Source, codec: Codec, result_type: Any = UNTYPED) -> None:
        self._id = workflow_id
        self._source = source
        self._codec = codec
        self._result_type = result_type

    @property
    def id(self) -> str:
        """Return the workflow's id."""
        return self._id

    @property
    def aio(self) -> AsyncWorkflowHandle[T]:
        """Return the awaiting view of this handle."""
        return AsyncWorkflowHandle(self)

    def get_status(self) -> WorkflowRow:
        """Read the workflow as the database holds it. Raises `WorkflowNotFound`."""
        rows = self._source.provider.workflows(ListFilter(workflow_ids=[self._id]))
        if not rows:
            raise WorkflowNotFound(self._id)
        return rows[0]

    def get_result(self, timeout: float | timedelta | None = None) -> T:
        """Wait for the workflow to end and return its result, or raise its error.

        Raises `TimeoutError` after *timeout* seconds, and the workflow goes on; `WorkflowCancelled`, or its kind
        `WorkflowTimedOut` when the workflow's own deadline ended it; `MaxRecoveryAttemptsExceeded`; `WorkflowNotFound`
        when the row was deleted; `InvalidArgument` for a timeout that cannot be meant. On a running event loop it
        raises `RuntimeError`: await the handle instead.
        """
        ensure_no_loop("handle.get_result()", "await handle.aio.get_result()")
        seconds = _patience(timeout)
        if (ended := self._look()) is not None:
            return self._read(ended)
        self._demand_patience(seconds)
        awaited = Awaited(RESULT, self._id)
        future = self._source.watcher.watch(awaited)
        try:
            ending = future.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"workflow {self._id} did not end within {seconds:g} s; it goes on") from None
        finally:
            self._source.watcher.abandon(awaited, future)
        return self._read(ending)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the workflow to end and return its result, or raise its error."""
        return self.aio.get_result().__await__()

    def __repr__(self) -> str:
        return f"WorkflowHandle({self._id!r})"

    def _look(self) -> Ending | None:
        """Return how the workflow ended if it has: most results are asked for when they are there."""
        try:
            rows = self._source.provider.workflows(ListFilter(workflow_ids=[self._id], load_output=True))
        except ProviderUnavailable:
            # The watcher waits until the database is back.
            return None
        if not rows:
            raise WorkflowNotFound(self._id)
        return ending_of(rows[0]) if rows[0].status.is_terminal else None

    def _demand_patience(self, seconds: float | None) -> None:
        """Refuse a wait for ever of a function that keeps everybody from writing."""
        if seconds is None:
            lent.demand_free(self._source.provider.location)

    def _read(self, ending: Found) -> T:
        result: T = read_ending(self._id, ending, self._codec, self._result_type)
        return result


class AsyncWorkflowHandle(Generic[T]):
    """The awaiting view of a handle."""

    def __init__(self, handle: WorkflowHandle[T]) -> None:
        self._handle = handle

    @property
    def id(self) -> str:
        """Return the workflow's id."""
        return self._handle.id

    async def get_status(self) -> WorkflowRow:
        """Read the workflow as the database holds it. Raises `WorkflowNotFound`."""
        return await asyncio.to_thread(self._handle.get_status)

    async def get_result(
        self,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109  the public name, as in the twin
    ) -> T:
        """Wait for the workflow to end and return its result, or raise its error, as the blocking twin does."""
        handle, seconds = self._handle, _patience(timeout)
        ended = await asyncio.to_thread(handle._look)  # noqa: SLF001  the two views of one handle
        if ended is not None:
            return handle._read(ended)  # noqa: SLF001  the two views of one handle
        handle._demand_patience(seconds)  # noqa: SLF001  the two views of one handle
        awaited = Awaited(RESULT, handle.id)
        future = handle._source.watcher.watch(awaited)  # noqa: SLF001  the two views of one handle
        try:
            async with asyncio.timeout(seconds):
                ending = await asyncio.wrap_future(future)
        except TimeoutError:
            raise TimeoutError(f"workflow {handle.id} did not end within {seconds:g} s; it goes on") from None
        finally:
            handle._source.watcher.abandon(awaited, future)  # noqa: SLF001  the two views of one handle
        return handle._read(ending)  # noqa: SLF001  the two views of one handle

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the workflow to end and return its result, or raise its error."""
        return self.get_result().__await__()


def read_ending(workflow_id: str, ending: Found, codec: Codec, result_type: Any) -> Any:
    """Return the result of a workflow that has ended, or raise its error."""
    if not isinstance(ending, Ending):
        raise WorkflowNotFound(workflow_id)
    match ending.status:
        case Status.SUCCESS:
            return codec.load(ending.output, ending.serialization, result_type)
        case Status.CANCELLED:
            raise WorkflowTimedOut(workflow_id) if ending.is_timed_out else WorkflowCancelled(workflow_id)
        case Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED if ending.error is None:
            raise MaxRecoveryAttemptsExceeded(workflow_id, 0)
        case _:
            raise codec.load_error(ending.error, ending.serialization)


def _patience(timeout: float | timedelta | None) -> float | None:
    return None if timeout is None else min(duration_seconds("timeout", timeout), threading.TIMEOUT_MAX)


def ensure_no_loop(asked: str, instead: str) -> None:
    """Refuse a blocking call on a running event loop, which could wait for itself. Raises `RuntimeError`."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{asked} would block the running event loop; write `{instead}`")
