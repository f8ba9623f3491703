"""Waiting for an instant, across crashes and restarts."""

from __future__ import annotations

from durust.codec import Codec
from durust.errors import SerializationError, StepCancelled
from durust.model.writes import RecordSleep, RecordStep, Refused
from durust.routines.effects import Commit, Cut, Raised, Returned, Routine, StepEnd, Wait
from durust.routines.replay import CUT_NAME, SLEEP_NAME
from durust.routines.run import Run


def sleep(run: Run, place: int, seconds: float) -> Routine[StepEnd]:
    """Record the instant of waking, once, and wait for what is left of it.

    That the body's own code cut it short is recorded at the next place, because the body goes on from there.
    """
    run.ensure_open()
    record = run.recall(place, SLEEP_NAME)
    cut = run.recall(place + 1, CUT_NAME)
    instant = record.output if record is not None else None
    if record is None:
        outcome = yield Commit(
            RecordSleep(
                lease=run.lease,
                after=run.after,
                place=place,
                name=SLEEP_NAME,
                seconds=seconds,
                not_before_ms=run.stamp(place),
            )
        )
        accepted = run.accept(outcome, place, SLEEP_NAME)
        if isinstance(accepted, Refused):
            return Raised(SerializationError("sleep", accepted.reason, "sleep for less"))
        instant = accepted.output
    if instant is None:
        run.diverge(place, SLEEP_NAME, "a sleep without an instant")
        return Returned(None)
    if cut is not None:
        return Cut()
    answer = yield Wait(place, round(float(instant) * 1000))
    if answer is None:
        return Returned(None)
    return (yield from _cut_short(run, place + 1))


def _cut_short(run: Run, place: int) -> Routine[StepEnd]:
    encoded = Codec().dump_error(StepCancelled(SLEEP_NAME))
    now_ms = run.stamp(place)
    write = RecordStep(
        lease=run.lease,
        after=run.after,
        place=place,
        name=CUT_NAME,
        output=None,
        error=encoded.text,
        serialization=encoded.serialization,
        started_at_ms=now_ms,
        completed_at_ms=now_ms,
    )
    outcome = yield Commit(write)
    run.accept(outcome, place, CUT_NAME)
    return Cut()
