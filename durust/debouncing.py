"""Many calls, one run: what stands in place of a workflow when only the last of a burst of calls matters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from durust.decorators import Workflow
from durust.errors import InvalidArgument
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.retry import duration_seconds
from durust.model.writes import DebounceWorkflow, StartWorkflow

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Debounced(Generic[P, R]):
    """A workflow whose calls are gathered under a key; `durust.debounce` makes one, every start takes it."""

    workflow: Workflow[P, R] | str
    key: str
    period_seconds: float
    limit_seconds: float | None = None

    @property
    def name(self) -> str:
        """Return the name of the workflow."""
        return self.workflow if isinstance(self.workflow, str) else self.workflow.name

    def write(self, start: StartWorkflow, options: WorkflowOptions) -> DebounceWorkflow:
        """Return *start* as a debounced one. Raises `InvalidArgument` for options that contradict that."""
        if options.delay_seconds:
            raise InvalidArgument("delay", options.delay, "a debounced workflow waits for its period instead")
        if options.dedup_id is not None:
            raise InvalidArgument("dedup_id", options.dedup_id, "a debounced workflow waits under its key instead")
        dedup_id = check_name("name and debounce key", f"{start.name}-{self.key}")
        return DebounceWorkflow(replace(start, dedup_id=dedup_id), self.period_seconds, self.limit_seconds)


Startable = Workflow[P, R] | Debounced[P, R]
"""What a start takes, beside a name."""


@overload
def debounce(
    workflow: Workflow[P, R], key: str, period: float | timedelta, limit: float | timedelta | None = None
) -> Debounced[P, R]: ...
@overload
def debounce(
    workflow: str, key: str, period: float | timedelta, limit: float | timedelta | None = None
) -> Debounced[..., Any]: ...
def debounce(
    workflow: Workflow[..., Any] | str,
    key: str,
    period: float | timedelta,
    limit: float | timedelta | None = None,
) -> Debounced[..., Any]:
    """Let a burst of calls lead to one run with the last input, *period* after the last call.

    Every start takes what this returns in place of the workflow, and each call answers the handle of that one run. A
    burst that does not end runs at the latest *limit* after its first call; a call that comes once the run is queued
    begins a new burst. Calls meet when workflow, key, queue and application are the same. Of the options,
    `workflow_id` and the limit are those of the first call, all others are those of the last one.

    Raises `InvalidArgument` for a period that is not positive, or a limit below it.
    """
    if not isinstance(workflow, Workflow | str):
        raise InvalidArgument("workflow", workflow, "must be a function decorated with @durust.workflow, or its name")
    check_name("debounce key", key)
    period_seconds = duration_seconds("period", period)
    if not period_seconds:
        raise InvalidArgument("period", period, "must be longer than 0 seconds")
    limit_seconds = None if limit is None else duration_seconds("limit", limit)
    if limit_seconds is not None and limit_seconds < period_seconds:
        raise InvalidArgument("limit", limit, f"must not be below the period of {period_seconds:g} s, or None")
    return Debounced(workflow, key, period_seconds, limit_seconds)
