"""Reads what workflows publish, from anywhere: it records nothing."""

from __future__ import annotations

from typing import Any

from durust.codec import Codec
from durust.handle import Source
from durust.model.names import check_name


class Reader:
    """Reads events and streams of a database."""

    def __init__(self, source: Source, codec: Codec) -> None:
        self._source, self._codec = source, codec

    def events(self, workflow_id: str) -> dict[str, Any]:
        """Read the events of a workflow, each with its latest value."""
        found = self._source.provider.events(check_name("workflow_id", workflow_id))
        return {
            key: self._codec.load(value.text, value.serialization, what=f"value of event {key!r}")
            for key, value in found.items()
        }

    def streams(self, workflow_id: str) -> dict[str, list[Any]]:
        """Read the streams of a workflow, each with what it holds by now."""
        found = self._source.provider.streams(check_name("workflow_id", workflow_id))
        return {
            key: [
                self._codec.load(entry.text, entry.serialization, what=f"value of stream {key!r}")
                for entry in entries
                if not entry.is_end
            ]
            for key, entries in found.items()
        }
