"""Waiting for an instant, across crashes and restarts."""

from __future__ import annotations

from durust.errors import SerializationError
from durust.model.writes import RecordSleep, Refused
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd, Wait
from durust.routines.run import SLEEP_NAME, Run


def sleep(run: Run, place: int, seconds: float) -> Routine[StepEnd]:
    """Record the instant of waking, once, and wait for what is left of it."""
    run.ensure_open()
    record = run.recall(place, SLEEP_NAME)
    instant = record.output if record is not None else None
    if record is None:
        outcome = yield Commit(
            RecordSleep(lease=run.lease, after=run.after, place=place, name=SLEEP_NAME, seconds=seconds)
        )
        accepted = run.accept(outcome, place, SLEEP_NAME)
        if isinstance(accepted, Refused):
            return Raised(SerializationError("sleep", accepted.reason, "sleep for less"))
        instant = accepted.output
    if instant is None:
        run.diverge(place, SLEEP_NAME, "a sleep without an instant")
        return Returned(None)
    yield Wait(place, round(float(instant) * 1000))
    return Returned(None)
