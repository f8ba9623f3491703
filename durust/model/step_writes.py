"""What a run records of its steps and sleeps, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease


# Not frozen, though nobody changes it: one is made for each step, and freezing costs four times as much as making it.
@dataclass(slots=True)
class RecordStep:
    """Record how a step ended, at its place.

    Answers `Recorded`, `Fenced`, `Diverged` (the place holds another record) or `HistoryLost` (the record that this
    run saw committed last is not there any more).
    """

    lease: Lease
    after: int | None
    place: int
    name: str
    output: str | None
    error: str | None
    serialization: str
    started_at_ms: int
    completed_at_ms: int


@dataclass(frozen=True, slots=True)
class RecordSleep:
    """Record the instant at which a sleep ends: *seconds* after the database's time, or after *not_before_ms* if later.

    The record's output is that instant as a portable JSON number of epoch seconds; its completion time is the same
    instant in milliseconds. Answers like `RecordStep`; `Recorded.output` is the instant, also for a repeated write.
    """

    lease: Lease
    after: int | None
    place: int
    name: str
    seconds: float
    not_before_ms: int = 0
    """What the run took in so far, which the sleep comes after whatever the database's clock says."""
