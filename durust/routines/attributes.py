"""A run that changes the attributes of its workflow."""

from __future__ import annotations

from durust.errors import InvalidArgument
from durust.model.attribute_writes import SET_ATTRIBUTES_NAME, RecordAttributes
from durust.model.attributes import merge
from durust.model.writes import Refused
from durust.routines.effects import Commit, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run


def set_attributes(run: Run, place: int, patch: str) -> Routine[StepEnd]:
    """Give the workflow the attributes of *patch*, unless history says that this was done."""
    run.ensure_open()
    if run.recall(place, SET_ATTRIBUTES_NAME) is None:
        now_ms = run.stamp(place)
        outcome = yield Commit(RecordAttributes(run.lease, run.after, place, patch, now_ms, now_ms))
        accepted = run.accept(outcome, place, SET_ATTRIBUTES_NAME)
        if isinstance(accepted, Refused):
            return Raised(InvalidArgument("attributes", patch, f"the database refused them: {accepted.reason}"))
        run.attributes = merge(run.attributes, patch)
    return Returned(None)
