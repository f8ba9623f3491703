"""A step: answered from history, or attempted and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from durust.codec import Codec, Encoded
from durust.errors import DurustError, SerializationError, StepCancelled, StepRetriesExhausted
from durust.failpoints import failpoint
from durust.model.attempts import StepStatus
from durust.model.records import Checkpoint
from durust.model.retry import StepOptions
from durust.model.writes import RecordStep, Refused
from durust.routines.effects import Call, Commit, Cut, Effect, Pause, Raised, Returned, Routine, StepEnd, Stood
from durust.routines.run import Run


@dataclass(slots=True)
class Task:
    """What a step is to do."""

    name: str
    body: Callable[..., Any]
    """Takes the attempt that it is called in."""
    is_async: bool
    options: StepOptions
    annotation: Any
    codec: Codec


def step(run: Run, place: int, task: Task) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise attempt the task and record how it ended."""
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task)
    started_at_ms = run.now_ms()
    ended: StepEnd = yield from attempt(run, place, task, _call)
    if isinstance(ended, Raised) and not isinstance(ended.error, Exception):
        # An interrupt says nothing about the step: it is not its outcome.
        return ended
    return (yield from record_end(run, place, task, ended, started_at_ms))


def record_end(run: Run, place: int, task: Task, ended: StepEnd, started_at_ms: int) -> Routine[StepEnd]:
    """Record how a step ended and return that as its record reads back."""
    encoded, ended = settle(ended, task)
    failpoint("step.record")
    outcome = yield Commit(make_record(run, place, task, ended, encoded, started_at_ms))
    accepted = run.accept(outcome, place, task.name)
    failpoint("step.recorded")
    if isinstance(accepted, Refused):
        return Raised(refusal(task, accepted))
    return ended


def make_record(run: Run, place: int, task: Task, ended: StepEnd, encoded: Encoded, started_at_ms: int) -> RecordStep:
    """Return the record of a step that has just ended so."""
    is_error = not isinstance(ended, Returned)
    return RecordStep(
        lease=run.lease,
        after=run.after,
        place=place,
        name=task.name,
        output=None if is_error else encoded.text,
        error=encoded.text if is_error else None,
        serialization=encoded.serialization,
        started_at_ms=started_at_ms,
        completed_at_ms=run.stamp(place),
    )


def _call(task: Task, status: StepStatus) -> Effect:
    return Call(partial(task.body, status), task.is_async)


def attempt(run: Run, place: int, task: Task, ask: Callable[[Task, StepStatus], Effect]) -> Routine[Any]:
    """Ask for the body until it does not fail, its retries are used up, or its predicate says stop."""
    errors: list[Exception] = []
    while True:
        run.ensure_open()
        failpoint("step.before")
        status = StepStatus(run.workflow_id, place, task.name, len(errors) + 1, task.options.max_retries + 1)
        ended = yield ask(task, status)
        failpoint("step.after")
        # What a body raised while its run was being closed is no outcome of the step.
        run.ensure_open()
        if not isinstance(ended, Raised) or not isinstance(ended.error, Exception):
            return ended
        errors.append(ended.error)
        try:
            pause = task.options.pause_before_retry(len(errors), ended.error)
        except Exception as broken:  # noqa: BLE001  the predicate is the user's code; its error is the step's
            return Raised(broken)
        if pause is None:
            exhausted = task.options.max_retries and len(errors) > task.options.max_retries
            return Raised(StepRetriesExhausted(task.name, len(errors), tuple(errors))) if exhausted else ended
        cut = yield Pause(pause)
        if cut is not None:
            return cut


def settle(ended: StepEnd, task: Task) -> tuple[Encoded, StepEnd]:
    """Encode how the step ended, and return it as its record reads back, so that a replay sees the same."""
    if isinstance(ended, Returned):
        try:
            encoded, value = task.codec.settle(ended.value, task.annotation, what=f"result of step {task.name!r}")
        except SerializationError as error:
            ended = Raised(error)
        else:
            return encoded, Returned(value)
    if isinstance(ended, Cut):
        # Recorded, because what the body did next depends on it, and the side effect may have happened.
        return task.codec.dump_error(StepCancelled(task.name)), ended
    encoded, settled = task.codec.settle_error(ended.error)
    return encoded, Raised(settled)


def read_end(record: Checkpoint | Stood, task: Task) -> StepEnd:
    """Return how a recorded step ended."""
    if record.error is not None:
        error = task.codec.load_error(record.error, record.serialization)
        return Cut() if isinstance(error, StepCancelled) else Raised(error)
    return read_value(task, record.output, record.serialization)


def read_value(task: Task, text: str | None, serialization: str | None) -> StepEnd:
    """Return what a record holds as the value of its operation."""
    try:
        return Returned(task.codec.load(text, serialization, task.annotation))
    except SerializationError as error:
        return Raised(error)


def refusal(task: Task, refused: Refused) -> DurustError:
    """Return the error of a result that the database refuses."""
    return SerializationError(
        f"result of step {task.name!r}", f"the database refused it: {refused.reason}", "return something it can store"
    )
