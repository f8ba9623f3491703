"""Waiting for an instant, across crashes and restarts."""

from __future__ import annotations

from durust.codec import Codec
from durust.errors import SerializationError, StepCancelled
from durust.model.validity import SECONDS_MAX
from durust.model.writes import RecordSleep, RecordStep, Refused
from durust.routines.effects import Commit, Cut, Raised, Returned, Routine, Sleep, StepEnd
from durust.routines.replay import CUT_NAME, SLEEP_NAME, TIMEOUT_NAME
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
    answer = yield Sleep(place, round(float(instant) * 1000))
    if answer is None:
        return Returned(None)
    return (yield from _cut_short(run, place + 1))


def fix_timeout(run: Run, place: int, seconds: float | None) -> Routine[int | None]:
    """Return the instant, in milliseconds, at which the wait of the place before is given up, once it is recorded.

    None for a wait without a timeout, which leaves its place empty. One of ages waits for as long as can be written.
    """
    if seconds is None:
        return None
    record = run.recall(place, TIMEOUT_NAME)
    instant = record.output if record is not None else None
    if record is None:
        outcome = yield Commit(
            RecordSleep(
                lease=run.lease,
                after=run.after,
                place=place,
                name=TIMEOUT_NAME,
                seconds=min(seconds, SECONDS_MAX),
                not_before_ms=run.passed[0],
            )
        )
        accepted = run.accept(outcome, place, TIMEOUT_NAME)
        instant = accepted.output if not isinstance(accepted, Refused) else None
    if instant is None:
        run.diverge(place, TIMEOUT_NAME, "a timeout without an instant")
        return None
    return round(float(instant) * 1000)


def cut(run: Run, place: int, name: str) -> Routine[StepEnd]:
    """Record at *place* that the body's own code cut a wait short: what it did next depends on it."""
    return (yield from _cut_short(run, place, name, name))


def _cut_short(run: Run, place: int, name: str = CUT_NAME, what: str = SLEEP_NAME) -> Routine[StepEnd]:
    encoded = Codec().dump_error(StepCancelled(what))
    now_ms = run.stamp(place)
    write = RecordStep(
        lease=run.lease,
        after=run.after,
        place=place,
        name=name,
        output=None,
        error=encoded.text,
        serialization=encoded.serialization,
        started_at_ms=now_ms,
        completed_at_ms=now_ms,
    )
    outcome = yield Commit(write)
    run.accept(outcome, place, name)
    return Cut()
