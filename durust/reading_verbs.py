"""What engines and clients offer to whoever reads what workflows publish: events and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

from durust.handle import ensure_no_loop
from durust.reader import Reader
from durust.routines.readings import Cursor
from durust.subscriber import check_offset, make_form, patience
from durust.verbs import Verbs, plain_codec


class ReadingVerbs(Verbs):
    """The verbs that block."""

    def get_event(
        self, workflow_id: str, key: str, timeout: float | timedelta | None = None, *, type: Any = None
    ) -> Any:
        """Return the value of a workflow's event, once it has one; None when none came for *timeout* seconds.

        The workflow need not exist yet. *type* says what to rebuild the value as; without it it is plain JSON. On a
        running event loop it raises `RuntimeError`: await the twin in `aio` instead.
        """
        ensure_no_loop("get_event(...)", "await ....aio.get_event(...)")
        reader = self._reader_of("get_event")
        form = make_form(reader.codec, "event", workflow_id, key, type)
        return reader.event(workflow_id, key, patience(timeout), form)

    def get_events(self, workflow_id: str) -> dict[str, Any]:
        """Read all events of a workflow, each with its latest value; one that set none has none."""
        return self._reader_of("get_events").events(workflow_id)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> Iterator[Any]:
        """Read a stream from *offset* on, as in `for value in engine.read_stream(...)`, while it grows.

        It ends where the stream was closed, or when its writer has ended, after the last value. Raises `StreamTimedOut`
        when the next value takes longer than *timeout* seconds, and `WorkflowNotFound`. A loop that is left early
        leaves nothing behind. On a running event loop it raises `RuntimeError`: use the twin in `aio` instead.
        """
        ensure_no_loop("read_stream(...)", "async for ... in ....aio.read_stream(...)")
        reader = self._reader_of("read_stream")
        form = make_form(reader.codec, "stream", workflow_id, key, type)
        return reader.stream(Cursor(workflow_id, key, check_offset(offset)), patience(timeout), form)

    def get_streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read all streams of a workflow, each with the values that it holds by now; one that wrote none has none."""
        return self._reader_of("get_streams").streams(workflow_id)

    def _reader_of(self, asked: str) -> Reader:
        footing = self._footing(asked)
        return Reader(footing, plain_codec(footing.settings))


class AsyncReadingVerbs:
    """The verbs that are awaited."""

    _blocking: ReadingVerbs

    async def get_event(
        self,
        workflow_id: str,
        key: str,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109  the public name, as in the twin
        *,
        type: Any = None,
    ) -> Any:
        """Return the value of a workflow's event, as the blocking twin does."""
        reader = self._blocking._reader_of("get_event")  # noqa: SLF001  the two views of one thing
        form = make_form(reader.codec, "event", workflow_id, key, type)
        return await reader.aevent(workflow_id, key, patience(timeout), form)

    async def get_events(self, workflow_id: str) -> dict[str, Any]:
        """Read all events of a workflow, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.get_events, workflow_id)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> AsyncIterator[Any]:
        """Read a stream from *offset* on, as in `async for value in engine.aio.read_stream(...)`, while it grows."""
        reader = self._blocking._reader_of("read_stream")  # noqa: SLF001  the two views of one thing
        form = make_form(reader.codec, "stream", workflow_id, key, type)
        return reader.astream(Cursor(workflow_id, key, check_offset(offset)), patience(timeout), form)

    async def get_streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read all streams of a workflow, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.get_streams, workflow_id)
