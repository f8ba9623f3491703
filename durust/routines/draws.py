"""What a body may not make by itself, because a replay would make another one: the time, an id, a number by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durust.routines.effects import Returned, Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task, read_end, record_end

NOW_NAME, UUID_NAME, RANDOM_NAME = "durust.now", "durust.uuid", "durust.random"


def draw(run: Run, place: int, task: Task, make: Callable[[int], Any]) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise record what *make* answers to the run's time, in milliseconds."""
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task)
    # Later than all that came back before, so that the time a body sees never goes back.
    at_ms = run.stamp(place)
    return (yield from record_end(run, place, task, Returned(make(at_ms)), at_ms))
