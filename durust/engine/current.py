"""What the code that runs right now is part of: a workflow's body, a step's body, or neither."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from durust.model.attempts import StepStatus

if TYPE_CHECKING:
    from durust.routines.run import Run


# Not frozen, though nobody changes it: one is made for each attempt of each step.
@dataclass(slots=True)
class Activity:
    """A run, the context object its body was given, and the attempt of a step whose function is what runs, if any."""

    run: Run
    context: Any
    step: StepStatus | None = None

    @property
    def in_step(self) -> bool:
        """Tell whether a step's function is what runs."""
        return self.step is not None


CURRENT: ContextVar[Activity | None] = ContextVar("durust_activity", default=None)


def in_body() -> Activity | None:
    """Return the activity when a workflow's own body is what runs."""
    activity = CURRENT.get()
    return activity if activity is not None and not activity.in_step else None


def current_step() -> StepStatus | None:
    """Return which attempt of which step is running here; None outside the functions of steps.

    So a function can hand `current_step().key` to another service as its idempotency key.
    """
    activity = CURRENT.get()
    return None if activity is None else activity.step
