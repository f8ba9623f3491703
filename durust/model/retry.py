"""How often a step is tried again, and how long it waits in between."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from durust.errors import InvalidArgument

# A step that needs more tries than this waits for something; a sleep in the workflow's body says so better.
RETRIES_MAX = 10_000


def duration_seconds(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds. Raises `InvalidArgument` for one that is negative, not finite or not a number."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(name, value, "must be a number of seconds or a timedelta")
    if not _is_finite(value) or value < 0:
        raise InvalidArgument(name, value, "must be a finite duration of 0 seconds or more")
    return float(value)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        # An integer beyond every float.
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """How a step is run.

    `max_retries=5` means up to six attempts. The pause before retry n is `base_interval * backoff_factor ** (n - 1)`
    seconds, at most `max_interval`; there is none after the last attempt. `should_retry` is asked with each error and
    stops the retries by answering False. `timeout` bounds each attempt of an `async def` step, which then ends with
    `StepTimedOut`. `serializer` overrides the engine's for this step.
    """

    max_retries: int = 0
    base_interval: float | timedelta = 0.1
    backoff_factor: float = 2.0
    max_interval: float | timedelta = 60.0
    should_retry: Callable[[Exception], bool] | None = None
    timeout: float | timedelta | None = None
    serializer: str | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` for numbers that cannot be meant."""
        if (
            isinstance(self.max_retries, bool)
            or not isinstance(self.max_retries, int)
            or not 0 <= self.max_retries <= RETRIES_MAX
        ):
            raise InvalidArgument("max_retries", self.max_retries, f"must be an integer from 0 to {RETRIES_MAX}")
        duration_seconds("base_interval", self.base_interval)
        duration_seconds("max_interval", self.max_interval)
        factor = self.backoff_factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not (_is_finite(factor) and factor >= 1):
            raise InvalidArgument("backoff_factor", factor, "must be a finite number of 1 or more")
        if self.should_retry is not None and (
            not callable(self.should_retry) or inspect.iscoroutinefunction(self.should_retry)
        ):
            raise InvalidArgument(
                "should_retry", self.should_retry, "must be a plain function that answers with a bool"
            )
        if self.timeout is not None and duration_seconds("timeout", self.timeout) == 0:
            raise InvalidArgument("timeout", self.timeout, "must be longer than nothing")
        if self.serializer not in {None, "json", "pickle"}:
            raise InvalidArgument("serializer", self.serializer, "must be 'json' or 'pickle'")

    @property
    def timeout_seconds(self) -> float | None:
        """Return how long an attempt may take, in seconds."""
        return None if self.timeout is None else duration_seconds("timeout", self.timeout)

    def demand_async(self, name: str, *, is_async: bool) -> None:
        """Raise `InvalidArgument` for a timeout on a step of a plain function, which nothing can stop."""
        if self.timeout is not None and not is_async:
            raise InvalidArgument(
                "timeout",
                self.timeout,
                f"needs an `async def` step, and {name!r} is a plain function: bound the call in it",
            )

    def pause_before_retry(self, failures: int, error: Exception) -> float | None:
        """Return how many seconds to wait before the next attempt, after *failures* of them; None to give up."""
        if failures > self.max_retries:
            return None
        if self.should_retry is not None and not self.should_retry(error):
            return None
        base = duration_seconds("base_interval", self.base_interval)
        longest = duration_seconds("max_interval", self.max_interval)
        try:
            return min(base * self.backoff_factor ** (failures - 1), longest)
        except OverflowError:
            return longest if base else 0.0
