"""What an engine is told when a supervisor runs it: who it is, and who keeps its lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from durust.storage.provider import Listener


class LeaseKeeper(Protocol):
    """Knows whether this executor's lease holds."""

    def start(self) -> None:
        """Begin, right after the executor was registered with a first lease."""

    def trusted(self) -> bool:
        """Tell whether a step's body or a claim may start now."""

    def stop(self) -> None:
        """End. Beats stop last, after the executor is DEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """The part of an engine that its supervisor decides: then the engine neither beats nor sweeps nor recovers."""

    executor_id: str
    supervisor_id: str
    lease: LeaseKeeper
    hints: Listener
    queues: tuple[str, ...] | None = None
    """The queues to serve; None for all that are declared."""
    is_spokesman: bool = True
    """Whether this one says what each worker of the supervisor finds alike."""
