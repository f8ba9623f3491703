"""What the code that runs right now is part of: a workflow's body, a step's body, or neither."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durust.routines.run import Run


@dataclass(frozen=True, slots=True)
class Activity:
    """A run, the context object its body was given, and whether a step's body is what runs."""

    run: Run
    context: Any
    in_step: bool = False


CURRENT: ContextVar[Activity | None] = ContextVar("durust_activity", default=None)


def in_body() -> Activity | None:
    """Return the activity when a workflow's own body is what runs."""
    activity = CURRENT.get()
    return activity if activity is not None and not activity.in_step else None
