"""A patch: code that was changed under running workflows asks which of its two ways a run is to go."""

from __future__ import annotations

from durust.errors import SerializationError
from durust.model.writes import RecordStep, Refused, RunWrite
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run

PREFIX = "DBOS.patch-"
"""The canonical beginning of a marker's name; other tools know it too."""


def takes_new_way(run: Run, name: str) -> bool:
    """Tell whether the run goes the new way, by what its history holds at the next place and behind it.

    The marker there: an earlier execution went the new way. Anything else there or behind: an earlier execution came by
    while the code was the old one. Nothing: nobody has been here yet. Only the first and the last take the place.
    """
    place = run.place + 1
    return holds_marker(run, name) or run.last_recorded < place


def holds_marker(run: Run, name: str) -> bool:
    """Tell whether the marker stands at the next place."""
    record = run.history.get(run.place + 1)
    return record is not None and record.name == PREFIX + name


def is_marker(write: RunWrite) -> bool:
    """Tell whether a write is that of a patch."""
    return isinstance(write, RecordStep) and write.name.startswith(PREFIX)


def mark(run: Run, place: int, name: str) -> Routine[StepEnd]:
    """Answer the marker at *place*; where there is none, record it."""
    run.ensure_open()
    if run.recall(place, PREFIX + name) is not None:
        return Returned(True)
    now_ms = run.stamp(place)
    outcome = yield Commit(
        RecordStep(
            lease=run.lease,
            after=run.after,
            place=place,
            name=PREFIX + name,
            output="null",
            error=None,
            serialization="portable_json",
            started_at_ms=now_ms,
            completed_at_ms=now_ms,
        )
    )
    accepted = run.accept(outcome, place, PREFIX + name)
    if isinstance(accepted, Refused):
        return Raised(SerializationError("patch", accepted.reason, "give it a name that the database can store"))
    return Returned(True)
