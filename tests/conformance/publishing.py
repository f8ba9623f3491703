"""Short names for the events and streams that the tests are made of."""

from __future__ import annotations

from typing import Any

from durust.model.claims import Claimed
from durust.model.publications import AppendStream, SetEvent
from durust.model.records import Lease
from tests.conformance.builders import FORMAT, lease_of


def set_event(
    of: Claimed | Lease, place: int = 1, *, key: str = "progress", after: int | None = None, **fields: Any
) -> SetEvent:
    """Return the write that sets an event; its value names its place."""
    return SetEvent(lease_of(of), after, place, key, **(_values(place) | fields))


def append(
    of: Claimed | Lease, place: int = 1, *, key: str = "tokens", after: int | None = None, **fields: Any
) -> AppendStream:
    """Return the write that appends a value to a stream; it names its place."""
    return AppendStream(lease_of(of), after, place, key, **(_values(place) | fields))


def close(of: Claimed | Lease, place: int = 1, **fields: Any) -> AppendStream:
    """Return the write that closes a stream."""
    return append(of, place, text=None, **fields)


def _values(place: int) -> dict[str, Any]:
    return {
        "text": f'"{place}"',
        "serialization": FORMAT,
        "started_at_ms": 1_000 + place,
        "completed_at_ms": 2_000 + place,
    }
