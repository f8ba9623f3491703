"""What a sweep did, and what a purge did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    due: int = 0
    """Delayed rows that became due and are queued now."""
    reaped: tuple[str, ...] = ()
    """Executors whose lease had lapsed and that are DEAD now."""
    released: int = 0
    """Rows that a reaped executor held and that are queued again."""
    timed_out: int = 0
    """Rows whose deadline had passed and that are cancelled now."""
    arrived: int = 0
    """Parked runs that are queued now because what they waited for was there: written by a foreign hand, or missed."""
    orphans: int = 0
    """PENDING rows of a dead or unknown executor that nobody had released: always 0 unless something is wrong."""
    queues: frozenset[str] = field(default_factory=frozenset)
    """The queues that got rows."""
    next_due_seconds: float | None = None
    """How long until the next delayed row is due or the next deadline passes, or None when there is neither."""
    more: bool = False
    """Whether a bound cut this sweep short, so that another should follow at once."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed, or would remove where it only looks."""

    workflows: int = 0
    executors: int = 0
    """Executors that have been dead for long and hold nothing, with their leases."""
    more: bool = False
    """Whether a bound cut this purge short, so that another one finds more."""
