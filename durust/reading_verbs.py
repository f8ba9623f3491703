"""What engines and clients offer to whoever reads what workflows publish: events and streams."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from durust.reader import Reader


class ReadingVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _reader_of(self, asked: str) -> Reader:
        """Return the reader of the database, for the verb that was *asked*."""

    def get_events(self, workflow_id: str) -> dict[str, Any]:
        """Read all events of a workflow, each with its latest value; one that set none has none."""
        return self._reader_of("get_events").events(workflow_id)

    def get_streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read all streams of a workflow, each with the values that it holds by now; one that wrote none has none."""
        return self._reader_of("get_streams").streams(workflow_id)


class AsyncReadingVerbs:
    """The verbs that are awaited."""

    _reading: ReadingVerbs

    async def get_events(self, workflow_id: str) -> dict[str, Any]:
        """Read all events of a workflow, as the blocking twin does."""
        return await asyncio.to_thread(self._reading.get_events, workflow_id)

    async def get_streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read all streams of a workflow, as the blocking twin does."""
        return await asyncio.to_thread(self._reading.get_streams, workflow_id)
