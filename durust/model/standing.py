"""How things stand for one workflow: what it waits for, what is before it, and what its queue's budgets have left."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.writes import Wait

# Beyond so many it does not matter how many more wait before a workflow, and counting them costs something.
AHEAD_MAX = 10_000


@dataclass(frozen=True, slots=True)
class StandingRequest:
    """Which workflow, and over how long the starts of its queue and of its partition are counted."""

    workflow_id: str
    span_ms: float = 0.0
    partition_span_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of a budget: shares that living executors hold, and starts within the window of its rate."""

    runs: int = 0
    starts: int = 0
    first_ms: int | None = None
    """When the oldest of those starts was."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for a workflow, at one moment of the database."""

    now_ms: int
    waits: tuple[Wait, ...] = ()
    """What its parked run waits for."""
    ahead: int = 0
    """How many are queued before it on its queue; at most `AHEAD_MAX`."""
    ahead_in_partition: int = 0
    """How many of those have its partition key."""
    taken: Taken = Taken()
    taken_of_partition: Taken = Taken()
    running: tuple[tuple[str, int, int], ...] = ()
    """Executors that run something of its queue, each with how many, and how many of its partition."""
