"""A message as its sender gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a workflow, for `send_many`."""

    destination_id: str
    message: Any
    topic: str | None = None
    idempotency_key: str | None = None
    """Under one key a workflow gets one message, however often it is sent."""
