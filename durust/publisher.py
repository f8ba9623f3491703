"""What a workflow's body publishes for others to read: events, which hold a latest value, and streams, which grow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from durust.codec import Codec, Encoded
from durust.errors import InvalidArgument
from durust.model.names import check_name
from durust.model.waits import StreamEntry
from durust.routines.effects import Routine, StepEnd
from durust.routines.publications import close_stream, set_event, write_stream
from durust.routines.run import Run
from durust.shapes import MIRRORED


class Publisher(ABC):
    """The operations of an `async def` workflow."""

    _run: Run
    _codec: Codec

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    def set_event(self, key: str, value: Any) -> Coroutine[Any, Any, None]:
        """Let the event *key* hold *value* from now on, for whoever asks for it; recorded, so it happens once.

        Raises `SerializationError`, and `InvalidArgument` for a key that no database can hold.
        """
        self._ensure_here("ctx.set_event")
        encoded = encode(self._codec, "event", key, value)
        place = self._run.take_place()
        return self._end(place, set_event(self._run, place, key, encoded))

    def write_stream(self, key: str, value: Any) -> Coroutine[Any, Any, None]:
        """Append *value* to the stream *key* of this workflow; recorded, so it stands there once.

        Raises `StreamClosed` behind the end of the stream, `SerializationError`, and `InvalidArgument`.
        """
        self._ensure_here("ctx.write_stream")
        encoded = encode(self._codec, "stream", key, value)
        place = self._run.take_place()
        return self._end(place, write_stream(self._run, place, key, encoded))

    def close_stream(self, key: str) -> Coroutine[Any, Any, None]:
        """End the stream *key* of this workflow, which lets its readers go; ending it again changes nothing."""
        self._ensure_here("ctx.close_stream")
        check_name("stream key", key)
        place = self._run.take_place()
        return self._end(place, close_stream(self._run, place, key))


class SyncPublisher(ABC):
    """The operations of a `def` workflow."""

    _run: Run
    _codec: Codec

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    def set_event(self, key: str, value: Any) -> None:
        """Let the event *key* hold *value* from now on, for whoever asks for it; recorded, so it happens once.

        Raises `SerializationError`, and `InvalidArgument` for a key that no database can hold.
        """
        self._ensure_here("ctx.set_event")
        encoded = encode(self._codec, "event", key, value)
        self._end(set_event(self._run, self._run.take_place(), key, encoded))

    def write_stream(self, key: str, value: Any) -> None:
        """Append *value* to the stream *key* of this workflow; recorded, so it stands there once.

        Raises `StreamClosed` behind the end of the stream, `SerializationError`, and `InvalidArgument`.
        """
        self._ensure_here("ctx.write_stream")
        encoded = encode(self._codec, "stream", key, value)
        self._end(write_stream(self._run, self._run.take_place(), key, encoded))

    def close_stream(self, key: str) -> None:
        """End the stream *key* of this workflow, which lets its readers go; ending it again changes nothing."""
        self._ensure_here("ctx.close_stream")
        check_name("stream key", key)
        self._end(close_stream(self._run, self._run.take_place(), key))


def encode(codec: Codec, kind: str, key: str, value: Any) -> Encoded:
    """Write what is published under *key*, as its own type says; whoever reads it has to know that type."""
    check_name(f"{kind} key", key)
    encoded = codec.dump(value, MIRRORED, what=f"value of {kind} {key!r}")
    if kind == "stream" and StreamEntry(0, encoded.text or "", None).is_end:
        raise InvalidArgument("value", value, "is how the end of a stream is written; use close_stream")
    return encoded
