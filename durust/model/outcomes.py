"""Every answer that a write can get."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.publications import Closed
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.schedule_writes import ScheduleOutcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """The write stands, by this try or by an earlier one of the same writer."""

    now_ms: int = 0
    """The database's time at the write, where the write asks for it (a start); else 0."""
    output: str | None = None
    """What the database chose for the record (a sleep's instant, a message); else None."""
    serialization: str | None = None
    """How that is written, where it may be written in several ways (a message); else None."""
    workflow_id: str | None = None
    """The run that the write led to, where another may stand for it (a debounced start, a child); else None."""
    queues: frozenset[str] = frozenset()
    """The queues to which waiters went that some write of the batch woke."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A workflow of that id was there already."""

    row: WorkflowRow


@dataclass(frozen=True, slots=True)
class Fenced:
    """The writer does not own the workflow any more; nothing was written."""

    holder: str | None = None
    """The executor that owns it now, if any."""


@dataclass(frozen=True, slots=True)
class Unexpired:
    """The run's deadline has not come."""

    left_ms: int | None
    """How long until it does; None when the row has no deadline any more."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """The place already holds a record that this run did not write."""

    record: Checkpoint


@dataclass(frozen=True, slots=True)
class HistoryLost:
    """A record that this run saw committed is gone: the database lost commits. The run hands its claim back."""


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such row."""

    workflow_id: str | None = None
    """Which, where the write names several (messages); else None."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """What the write was to take is not there, so nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another workflow on the queue holds the deduplication id."""

    workflow_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The write holds something that no database can take, such as an id with a NUL; its neighbours stand."""

    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The executors whose leases were renewed."""

    executor_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Released:
    """The workflows that went back to their queues."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str]


@dataclass(frozen=True, slots=True)
class CalledOff:
    """The workflows that a cancel with children ended, in the order of their ids."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str] = frozenset()
    """The queues to which those went that waited for one of them."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """The workflows that carry another version now."""

    workflow_ids: tuple[str, ...]
    queues: frozenset[str]


RunOutcome = (
    Recorded | Existing | Fenced | Unexpired | Diverged | HistoryLost | Missing | Nothing | Duplicate | Refused | Closed
)
Outcome = RunOutcome | Alive | Released | CalledOff | Adopted | ScheduleOutcome
