"""Reads what workflows publish, from anywhere: it records nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from durust.codec import Codec
from durust.errors import StreamTimedOut, WorkflowNotFound
from durust.handle import Source
from durust.model.names import check_name
from durust.model.waits import EVENT, Awaited, Found, StoredValue, StreamTail
from durust.routines.readings import Cursor, Form
from durust.storage import lent
from durust.storage.provider import StateProvider


class Reader:
    """Reads events and streams of a database."""

    def __init__(self, source: Source, codec: Codec) -> None:
        self._source, self.codec = source, codec

    def events(self, workflow_id: str) -> dict[str, Any]:
        """Read the events of a workflow, each with its latest value."""
        found = self._source.provider.events(check_name("workflow_id", workflow_id))
        return {
            key: self.codec.load(value.text, value.serialization, what=f"value of event {key!r}")
            for key, value in found.items()
        }

    def streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read the streams of a workflow, each with what it holds by now."""
        found = self._source.provider.streams(check_name("workflow_id", workflow_id))
        return {
            key: [
                self.codec.load(entry.text, entry.serialization, what=f"value of stream {key!r}")
                for entry in entries
                if not entry.is_end
            ]
            for key, entries in found.items()
        }

    def event(self, workflow_id: str, key: str, seconds: float | None, form: Form) -> Any:
        """Wait for an event and return its value, or None when none came in time."""
        return _value(self._wait(Awaited(EVENT, workflow_id, key), seconds), form)

    async def aevent(self, workflow_id: str, key: str, seconds: float | None, form: Form) -> Any:
        """Wait for an event, as the blocking twin does."""
        return _value(await self._await(Awaited(EVENT, workflow_id, key), seconds), form)

    def stream(self, cursor: Cursor, seconds: float | None, form: Form) -> Iterator[Any]:
        """Read a stream to its end."""
        while True:
            if not cursor.is_known:
                _take_in(cursor, self._wait(cursor.awaited, seconds), seconds)
            entry = cursor.take()
            if entry is None:
                return
            yield form.load(entry.text, entry.serialization)

    async def astream(self, cursor: Cursor, seconds: float | None, form: Form) -> AsyncIterator[Any]:
        """Read a stream to its end, as the blocking twin does."""
        while True:
            if not cursor.is_known:
                _take_in(cursor, await self._await(cursor.awaited, seconds), seconds)
            entry = cursor.take()
            if entry is None:
                return
            yield form.load(entry.text, entry.serialization)

    def _wait(self, awaited: Awaited, seconds: float | None) -> Found | None:
        # Asked for first: it is where a database that cannot be served is told.
        provider, watcher = self._source.provider, self._source.watcher
        if seconds is None and lent.is_held_here(provider.location):
            return _look(provider, awaited)
        future = watcher.watch(awaited)
        try:
            return future.result(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        except TimeoutError:
            # What came in the last moment, or was there already for somebody who does not wait at all.
            return provider.values([awaited]).get(awaited)
        finally:
            watcher.abandon(awaited, future)

    async def _await(self, awaited: Awaited, seconds: float | None) -> Found | None:
        provider = await asyncio.to_thread(lambda: self._source.provider)
        watcher = self._source.watcher
        if seconds is None and lent.is_held_here(provider.location):
            return await asyncio.to_thread(_look, provider, awaited)
        future = watcher.watch(awaited)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return (await asyncio.to_thread(provider.values, [awaited])).get(awaited)
        finally:
            watcher.abandon(awaited, future)


def _look(provider: StateProvider, awaited: Awaited) -> Found | None:
    """Return what is there, for a function that keeps everybody from writing more. Raises `ProviderMisuse`."""
    found = provider.values([awaited]).get(awaited)
    if found is None:
        lent.demand_free(provider.location)
    return found


def _value(found: Found | None, form: Form) -> Any:
    return form.load(found.text, found.serialization) if isinstance(found, StoredValue) else None


def _take_in(cursor: Cursor, found: Found | None, seconds: float | None) -> None:
    """Note what came of a stream. Raises `StreamTimedOut` when nothing did, `WorkflowNotFound`."""
    if found is None:
        raise StreamTimedOut(cursor.workflow_id, cursor.key, cursor.offset, seconds or 0.0)
    if not isinstance(found, StreamTail):
        raise WorkflowNotFound(cursor.workflow_id)
    cursor.take_in(found)
