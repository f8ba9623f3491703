"""Workflows and steps counted by what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durust.errors import InvalidArgument
from durust.model import criteria
from durust.model.filters import LIST_LIMIT_DEFAULT, ListFilter, Scope
from durust.model.status import Status

GROUPS = ("status", "name", "queue", "executor_id", "app_name", "app_version")
"""What workflows can be counted by, beside their time of creation; the names are those of a row's fields."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds: the shortest, the mean, the longest."""

    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCount:
    """How many workflows have these fields in common; a field that was not asked for is None."""

    count: int
    bucket: datetime | None = None
    """When the span of time begins in which they were created."""
    status: Status | None = None
    name: str | None = None
    queue: str | None = None
    executor_id: str | None = None
    app_name: str | None = None
    app_version: str | None = None
    seconds: Spread | None = None
    """From the creation to the end, delays and waits included, of those that have ended; None when none has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """How many steps of one name were completed."""

    name: str
    count: int
    errors: int
    """How many of them ended with an error."""
    seconds: Spread | None = None
    """From the begin of a step to its end, its retries included; a sleep's end is the instant of its waking."""


@dataclass(frozen=True, slots=True)
class CountQuery:
    """Which workflows to count and by what. The limit and the offset of *filter* cut a page out of the groups.

    Groups come by their time, in it the largest first. Raises `InvalidArgument` for what cannot be meant.
    """

    filter: ListFilter
    by: tuple[str, ...] = ("status",)
    bucket_ms: int | None = None

    def __post_init__(self) -> None:
        """Check each field."""
        object.__setattr__(self, "by", criteria.texts("by", self.by) or ())
        for name in self.by:
            if name not in GROUPS:
                raise InvalidArgument("by", name, f"workflows are counted by {', '.join(GROUPS)}")
        if self.filter.after is not None:
            raise InvalidArgument("after", self.filter.after, "is the place of a row, and counts have none; use offset")
        if self.bucket_ms is not None and not 0 < self.bucket_ms <= criteria.INT8_MAX:
            raise InvalidArgument("bucket", self.bucket_ms, "must be a millisecond or longer")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepQuery:
    """Which steps to count by their name: those completed from one instant on and before another.

    Raises `InvalidArgument` for what cannot be meant.
    """

    scope: Scope | None = None
    names: tuple[str, ...] | None = None
    completed_from: datetime | None = None
    completed_before: datetime | None = None
    limit: int = LIST_LIMIT_DEFAULT

    def __post_init__(self) -> None:
        """Check each field."""
        object.__setattr__(self, "names", criteria.texts("names", self.names))
        for name in ("completed_from", "completed_before"):
            criteria.check_instant(name, getattr(self, name))
        criteria.check_count("limit", self.limit)

    @property
    def completed_ms(self) -> tuple[int, int]:
        """Return the window in epoch milliseconds; one end that is open stands for the end of all times."""
        begin, end = criteria.milliseconds(self.completed_from), criteria.milliseconds(self.completed_before)
        return -criteria.INT8_MAX if begin is None else begin, criteria.INT8_MAX if end is None else end
