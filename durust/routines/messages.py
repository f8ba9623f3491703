"""Messages from one workflow to another: sent once, and received once."""

from __future__ import annotations

from durust.errors import SerializationError, WorkflowNotFound
from durust.model.message_writes import SEND_NAME, Letter, RecordSend
from durust.model.writes import Missing, Refused
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd
from durust.routines.refusals import recalled, refuse
from durust.routines.run import Run


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
