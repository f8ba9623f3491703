"""An operation that was refused: recorded as its error, because what the body does next depends on it."""

from __future__ import annotations

from durust.codec import Codec
from durust.model.records import Checkpoint
from durust.model.writes import RecordStep
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run

_ERRORS = Codec()


def refuse(run: Run, place: int, name: str, error: Exception, started_at_ms: int) -> Routine[StepEnd]:
    """Record *error* as the end of the operation at *place*."""
    encoded = _ERRORS.dump_error(error)
    outcome = yield Commit(
        RecordStep(
            lease=run.lease,
            after=run.after,
            place=place,
            name=name,
            output=None,
            error=encoded.text,
            serialization=encoded.serialization,
            started_at_ms=started_at_ms,
            completed_at_ms=run.stamp(place),
        )
    )
    run.accept(outcome, place, name)
    return Raised(error)


def recalled(record: Checkpoint) -> StepEnd:
    """Return how a recorded operation ended that answers nothing: it was done, or refused."""
    if record.error is None:
        return Returned(None)
    return Raised(_ERRORS.load_error(record.error, record.serialization))
