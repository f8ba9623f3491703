"""The result of another workflow as an operation: waited for, recorded, and read back as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durust.model.waits import RESULT, Arrival, Awaited, Found
from durust.routines.effects import Await, Cut, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task, read_end, record_end
from durust.routines.waits import cut, fix_timeout

RESULT_NAME = "DBOS.getResult"
FIRST_NAME = "DBOS.waitFirst"


def get_result(
    run: Run, place: int, workflow_id: str, task: Task, read: Callable[[Found], Any], timeout_seconds: float | None
) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise wait for the workflow's end and record what *read* makes of it.

    What *read* raises is recorded as the outcome. Raises nothing by itself; a timeout is a `TimeoutError`, recorded.
    """
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task)
    started_at_ms = run.now_ms()
    until_ms = yield from fix_timeout(run, place + 1, timeout_seconds)
    answer = yield Await(place, (Awaited(RESULT, workflow_id),), until_ms)
    run.ensure_open()
    if isinstance(answer, Cut):
        return (yield from cut(run, place, task.name))
    return (yield from record_end(run, place, task, _settle(workflow_id, answer, read, timeout_seconds), started_at_ms))


def _settle(
    workflow_id: str, answer: Arrival | None, read: Callable[[Found], Any], timeout_seconds: float | None
) -> Returned | Raised:
    if answer is None:
        return Raised(TimeoutError(f"workflow {workflow_id} did not end within {timeout_seconds:g} s; it goes on"))
    try:
        return Returned(read(answer.found))
    except Exception as error:  # noqa: BLE001  the workflow's own error, which is the outcome here
        return Raised(error)


def wait_first(
    run: Run, place: int, workflow_ids: tuple[str, ...], task: Task, timeout_seconds: float | None
) -> Routine[StepEnd]:
    """Answer which of some workflows history says was the first to end; otherwise wait for that, and record its id."""
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task)
    started_at_ms = run.now_ms()
    until_ms = yield from fix_timeout(run, place + 1, timeout_seconds)
    answer = yield Await(place, tuple(Awaited(RESULT, workflow_id) for workflow_id in workflow_ids), until_ms)
    run.ensure_open()
    if isinstance(answer, Cut):
        return (yield from cut(run, place, task.name))
    ended: Returned | Raised = Raised(TimeoutError(f"none of {len(workflow_ids)} workflows ended in time; they go on"))
    if answer is not None:
        ended = Returned(answer.awaited.target)
    return (yield from record_end(run, place, task, ended, started_at_ms))
