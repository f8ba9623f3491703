"""Messages from one workflow to another: sent once, and received once."""

from __future__ import annotations

from durust.codec import PORTABLE_JSON
from durust.errors import SerializationError, WorkflowNotFound
from durust.model.message_writes import SEND_NAME, Letter, ReceiveMessage, RecordSend
from durust.model.waits import MESSAGE, Awaited
from durust.model.writes import Missing, Nothing, Refused
from durust.routines.effects import Await, Commit, Cut, Raised, Returned, Routine, StepEnd
from durust.routines.refusals import recalled, refuse
from durust.routines.run import Run
from durust.routines.steps import Task, read_end, read_value
from durust.routines.waits import cut, fix_timeout


def send(run: Run, place: int, letter: Letter) -> Routine[StepEnd]:
    """Send a message, unless history says that this was done. One to nobody is an error, which is recorded."""
    run.ensure_open()
    record = run.recall(place, SEND_NAME)
    if record is not None:
        return recalled(record)
    now_ms = run.stamp(place)
    outcome = yield Commit(RecordSend(run.lease, run.after, place, SEND_NAME, (letter,), now_ms, now_ms))
    if isinstance(outcome, Missing):
        return (yield from refuse(run, place, SEND_NAME, WorkflowNotFound(letter.destination_id), now_ms))
    accepted = run.accept(outcome, place, SEND_NAME)
    if isinstance(accepted, Refused):
        return Raised(SerializationError("message", accepted.reason, "send what the database can store"))
    return Returned(None)


def receive(run: Run, place: int, topic: str, task: Task, timeout_seconds: float | None) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise receive the oldest message of *topic*, and wait for one.

    One that is there costs one commit. The instant at which the wait is given up is recorded at the next place before
    anybody waits; then it is recorded that no message came, and the answer is None.
    """
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task) if record.error else _read(task, record.output, record.serialization)
    started_at_ms = run.now_ms()
    until_ms: int | None = None
    is_first, is_over = True, timeout_seconds == 0
    while True:
        outcome = yield Commit(
            ReceiveMessage(run.lease, run.after, place, topic, started_at_ms, run.stamp(place), is_over)
        )
        if not isinstance(outcome, Nothing):
            break
        run.ensure_open()
        if is_first:
            is_first, until_ms = False, (yield from fix_timeout(run, place + 1, timeout_seconds))
        answer = yield Await(place, (Awaited(MESSAGE, run.workflow_id, topic),), until_ms)
        run.ensure_open()
        if isinstance(answer, Cut):
            return (yield from cut(run, place, task.name))
        is_over = answer is None
    accepted = run.accept(outcome, place, task.name)
    if isinstance(accepted, Refused):
        return Raised(SerializationError("message", accepted.reason, "wait for a topic that the database can store"))
    return _read(task, accepted.output, accepted.serialization)


def _read(task: Task, text: str | None, serialization: str | None) -> StepEnd:
    # What stands where no message came, whatever type one would have had.
    is_none = text == "null" and serialization == PORTABLE_JSON
    return Returned(None) if is_none else read_value(task, text, serialization)
