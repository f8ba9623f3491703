"""What a workflow's body reads of other workflows' publications: the value of an event, a stream as it grows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

from durust.codec import UNTYPED, Codec
from durust.errors import InvalidArgument, NotInWorkflow
from durust.model.names import check_name
from durust.model.retry import duration_seconds
from durust.model.validity import SECONDS_MAX
from durust.routines.effects import Routine, StepEnd
from durust.routines.readings import END, Cursor, Form, get_event, read_stream
from durust.routines.run import Run

# The canonical column is four bytes wide.
OFFSET_MAX = 2**31 - 1


class Subscriber(ABC):
    """The operations of an `async def` workflow."""

    _run: Run
    _codec: Codec

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    def get_event(
        self, workflow_id: str, key: str, timeout: float | timedelta | None = None, *, type: Any = None
    ) -> Coroutine[Any, Any, Any]:
        """Return the value of another workflow's event, once it has one; None when none came for *timeout* seconds.

        The workflow need not exist yet. What was returned is recorded, and so is the instant at which the wait is given
        up. *type* says what to rebuild the value as. A long wait gives its slot back.
        """
        self._ensure_here("ctx.get_event")
        form = make_form(self._codec, "event", workflow_id, key, type)
        seconds = patience(timeout)
        place = self._run.take_place_of_wait()
        return self._end(place, get_event(self._run, place, workflow_id, key, seconds, form), is_wait=True)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> AsyncIterator[Any]:
        """Read a stream from *offset* on, as in `async for value in ctx.read_stream(...)`; each value is recorded.

        It ends where the stream was closed, or when its writer has ended, after the last value. Raises `StreamTimedOut`
        when the next value takes longer than *timeout* seconds, after which one may read on, and `WorkflowNotFound`.
        """
        self._ensure_here("ctx.read_stream")
        form = make_form(self._codec, "stream", workflow_id, key, type)
        cursor, seconds = Cursor(workflow_id, key, check_offset(offset)), patience(timeout)
        return _Reading(lambda: self._read_on(cursor, seconds, form))

    def _read_on(self, cursor: Cursor, seconds: float | None, form: Form) -> Coroutine[Any, Any, Any]:
        self._ensure_here("ctx.read_stream")
        place = self._run.take_place_of_wait()
        return self._end(place, read_stream(self._run, place, cursor, seconds, form), is_wait=True)


class SyncSubscriber(ABC):
    """The operations of a `def` workflow."""

    _run: Run
    _codec: Codec

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    def get_event(
        self, workflow_id: str, key: str, timeout: float | timedelta | None = None, *, type: Any = None
    ) -> Any:
        """Return the value of another workflow's event, once it has one; None when none came for *timeout* seconds.

        The workflow need not exist yet. What was returned is recorded, and so is the instant at which the wait is given
        up. *type* says what to rebuild the value as. A long wait gives its thread back.
        """
        self._ensure_here("ctx.get_event")
        form = make_form(self._codec, "event", workflow_id, key, type)
        seconds = patience(timeout)
        place = self._run.take_place_of_wait()
        return self._end(get_event(self._run, place, workflow_id, key, seconds, form))

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> Iterator[Any]:
        """Read a stream from *offset* on, as in `for value in ctx.read_stream(...)`; each value is recorded.

        It ends where the stream was closed, or when its writer has ended, after the last value. Raises `StreamTimedOut`
        when the next value takes longer than *timeout* seconds, after which one may read on, and `WorkflowNotFound`.
        """
        self._ensure_here("ctx.read_stream")
        form = make_form(self._codec, "stream", workflow_id, key, type)
        cursor, seconds = Cursor(workflow_id, key, check_offset(offset)), patience(timeout)
        return _SyncReading(lambda: self._read_on(cursor, seconds, form))

    def _read_on(self, cursor: Cursor, seconds: float | None, form: Form) -> Any:
        self._ensure_here("ctx.read_stream")
        place = self._run.take_place_of_wait()
        return self._end(read_stream(self._run, place, cursor, seconds, form))


class _Reading(AsyncIterator[Any]):
    """A stream that is read by an `async def` workflow. Each value takes its place when it is asked for."""

    def __init__(self, read_on: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._read_on = read_on
        self._is_at_end = self._is_busy = False

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        try:
            return self._next(None if self._is_at_end else self._read_on())
        except NotInWorkflow as error:
            # Not raised here: Python 3.11 crashes when this raises under an `anext` with a default.
            return _refused(error)

    async def _next(self, reading: Coroutine[Any, Any, Any] | None) -> Any:
        value = END if reading is None else await reading
        if value is END:
            self._is_at_end = True
            raise StopAsyncIteration
        return value


async def _refused(error: NotInWorkflow) -> None:
    raise error


class _SyncReading(Iterator[Any]):
    """A stream that is read by a `def` workflow."""

    def __init__(self, read_on: Callable[[], Any]) -> None:
        self._read_on = read_on
        self._is_at_end = False

    def __next__(self) -> Any:
        value = END if self._is_at_end else self._read_on()
        if value is END:
            self._is_at_end = True
            raise StopIteration
        return value


def make_form(codec: Codec, kind: str, workflow_id: str, key: str, annotation: Any) -> Form:
    """Return how values of an event or a stream are read. Raises `InvalidArgument` for what is no id or key."""
    check_name("workflow_id", workflow_id)
    check_name(f"{kind} key", key)
    return Form(codec, UNTYPED if annotation is None else annotation, f"value of {kind} {key!r}")


def check_offset(offset: object) -> int:
    """Return *offset*. Raises `InvalidArgument` for what is no place in a stream."""
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset <= OFFSET_MAX:
        raise InvalidArgument("offset", offset, "must be a whole number, 0 for the first value")
    return offset


def patience(timeout: float | timedelta | None) -> float | None:
    """Return how long somebody waits, in seconds; None for ever. Raises `InvalidArgument`."""
    return None if timeout is None else min(duration_seconds("timeout", timeout), SECONDS_MAX)
