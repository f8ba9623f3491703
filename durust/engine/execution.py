"""One run with what carries it: its thread or task, its codec, its end."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

from durust import clock
from durust.codec import PICKLE, Codec
from durust.engine.drive import BlockingDriver
from durust.engine.registry import Definition
from durust.engine.turns import Turns
from durust.model.claims import Claimed
from durust.routines.run import Run


class Execution:
    """One run with what carries it."""

    def __init__(self, claimed: Claimed, definition: Definition, codec: Codec) -> None:
        self.claimed, self.definition, self.codec = claimed, definition, codec
        # The row has one column for the form of its inputs and of its outcome, so the outcome follows the inputs.
        is_fitting = codec.serializer == "json" or claimed.serialization == PICKLE
        self.outcome_codec = codec if is_fitting else replace(codec, serializer="json")
        begun = clock.monotonic()
        self.run = Run(claimed, lambda: int((clock.monotonic() - begun) * 1000))
        self.blocking: BlockingDriver | None = None
        self.turns: Turns | None = None
        self.main: asyncio.Task[Any] | None = None
        self.in_body = False
        self.is_unwinding = False
        self.ended = threading.Event()
        self._beginning = threading.Lock()

    def begin(self) -> bool:
        """Take it over; False when it was given up before, or taken over already."""
        return self._beginning.acquire(blocking=False)
