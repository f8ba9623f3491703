"""Queues and the limits on them, as arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from durust.errors import InvalidArgument
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.retry import duration_seconds

# Bodies start a little after their claims, some a little later than others. Counted over a window that is longer by
# this, the limit mostly holds for them too; of a short period it is the fiftieth part, so it costs 2 % of the rate.
RATE_MARGIN_SECONDS = 0.02
RATE_MARGIN_PART = 0.02
# One claim looks at so many partitions of a queue, and the next goes on behind them: each costs an index probe.
PARTITIONS_MAX = 256
# A share of a budget is remembered for at least this long after its claim, for whoever wonders what ran when.
GRANTS_KEPT_SECONDS = 3600.0
# The column is a 32-bit integer in the canonical schema.
LIMIT_MAX = 2**31 - 1
# Three thousand years: beyond any period that is meant, within what a database counts milliseconds with.
PERIOD_SECONDS_MAX = 1e11


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """At most *limit* starts in any *period* (seconds or a timedelta), over all executors.

    Raises `InvalidArgument` for a limit below 1, a period that is not positive, or one beyond every calendar.
    """

    limit: int
    period: float | timedelta

    def __post_init__(self) -> None:
        """Check both."""
        _check_limit("limit", self.limit)
        if not 0 < duration_seconds("period", self.period) <= PERIOD_SECONDS_MAX:
            wanted = f"must be longer than 0 seconds and at most {PERIOD_SECONDS_MAX:g}"
            raise InvalidArgument("period", self.period, wanted)

    @property
    def period_seconds(self) -> float:
        """Return the period in seconds."""
        return duration_seconds("period", self.period)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDefinition:
    """A queue's name and limits; None is no limit.

    `worker_concurrency` counts what one process runs, `global_concurrency` what all executors run, `rate_limiter` the
    starts of all. A `partition_queue` applies the limits that begin with `partition` to the workflows of each
    partition key, beside those of the whole queue, and each of its workflows needs a key. With `priority_enabled` off,
    a priority is refused at enqueue and the order is first in, first out. `on_conflict` says what a worker that
    declares a queue does at its launch with a definition that is stored already: `update` replaces it, `keep` leaves
    it as it is.

    Raises `InvalidArgument` for limits that cannot be meant.
    """

    name: str = field(kw_only=False)
    worker_concurrency: int | None = None
    global_concurrency: int | None = None
    priority_enabled: bool = True
    rate_limiter: RateLimiter | None = None
    partition_queue: bool = False
    partition_concurrency: int | None = None
    partition_worker_concurrency: int | None = None
    partition_rate_limiter: RateLimiter | None = None
    on_conflict: Literal["update", "keep"] = "update"

    def __post_init__(self) -> None:
        """Check the name and the limits."""
        check_name("queue", self.name)
        for name in _CONCURRENCIES:
            if (limit := getattr(self, name)) is not None:
                _check_limit(name, limit)
        for name in ("rate_limiter", "partition_rate_limiter"):
            limiter = getattr(self, name)
            if limiter is not None and not isinstance(limiter, RateLimiter):
                raise InvalidArgument(name, limiter, "must be a RateLimiter, as in RateLimiter(limit=50, period=60)")
        for name in ("priority_enabled", "partition_queue"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgument(name, getattr(self, name), "must be True or False")
        limited = next((name for name in _OF_PARTITIONS if getattr(self, name) is not None), None)
        if limited is not None and not self.partition_queue:
            raise InvalidArgument(limited, getattr(self, limited), "belongs to a queue with partition_queue=True")
        if self.on_conflict not in {"update", "keep"}:
            raise InvalidArgument("on_conflict", self.on_conflict, "must be 'update' or 'keep'")


_CONCURRENCIES = ("worker_concurrency", "global_concurrency", "partition_concurrency", "partition_worker_concurrency")
_OF_PARTITIONS = ("partition_concurrency", "partition_worker_concurrency", "partition_rate_limiter")


def _check_limit(name: str, limit: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise InvalidArgument(name, limit, f"must be an integer from 1 to {LIMIT_MAX}, or None for no limit")


class Queue(Protocol):
    """What a start on a queue is judged by."""

    @property
    def name(self) -> str:
        """Return the queue's name."""

    @property
    def priority_enabled(self) -> bool:
        """Tell whether priorities are taken."""

    @property
    def partition_queue(self) -> bool:
        """Tell whether each workflow needs a partition key."""


def check_fit(queue: Queue | None, options: WorkflowOptions) -> None:
    """Raise `InvalidArgument` for options that fit no start on *queue*; a queue that nobody knows yet takes all."""
    if queue is None:
        return
    if queue.partition_queue and options.partition_key is None:
        raise InvalidArgument(
            "partition_key", None, f"is needed on the queue {queue.name!r}, as in WorkflowOptions(partition_key='a')"
        )
    if not queue.partition_queue and options.partition_key is not None:
        raise InvalidArgument(
            "partition_key", options.partition_key, f"means nothing on the queue {queue.name!r}: partition_queue is off"
        )
    if not queue.priority_enabled and options.priority != 0:
        raise InvalidArgument(
            "priority", options.priority, f"means nothing on the queue {queue.name!r}: priority_enabled is off"
        )


def window_ms(period_seconds: float) -> float:
    """Return over how many milliseconds the starts of a rate are counted."""
    return 1000 * (period_seconds + min(RATE_MARGIN_SECONDS, RATE_MARGIN_PART * period_seconds))


@dataclass(slots=True)
class Allowance:
    """What is left of one budget, of a queue or of one of its partitions; None is no limit."""

    runs: int | None = None
    starts: int | None = None

    def admits(self, *, is_start: bool) -> bool:
        """Tell whether one more fits; a run that goes on after a wait or a crash is not a start."""
        return (self.runs is None or self.runs > 0) and (not is_start or self.starts is None or self.starts > 0)

    def take(self, *, is_start: bool) -> None:
        """Take one out."""
        if self.runs is not None:
            self.runs -= 1
        if is_start and self.starts is not None:
            self.starts -= 1


def least(*limits: int | None) -> int | None:
    """Return the smallest of the limits that are set."""
    standing = [limit for limit in limits if limit is not None]
    return min(standing) if standing else None


def left(limit: int | None, used: int) -> int | None:
    """Return what is left of a limit."""
    return None if limit is None else max(0, limit - used)
