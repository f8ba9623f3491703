"""What orders that move a workflow from one status to another are answered on Postgres."""

from __future__ import annotations

from durust.model.status import TRANSITIONS, Event
from durust.model.writes import CancelWorkflow, Existing, Missing, Outcome, ResumeWorkflow
from durust.storage import rows
from durust.storage.links import Row
from durust.storage.postgres_writes.kinds import Answers, Group, Results
from durust.storage.retries import RECORDED


def explain_move(write: CancelWorkflow | ResumeWorkflow, row: Row) -> Outcome | None:
    """Return why a cancel or a resume did not come back, or None when it should be sent again."""
    _, _, *record = row
    if record[0] is None:
        return Missing()
    standing = rows.workflow(record)
    event = Event.CANCEL if isinstance(write, CancelWorkflow) else Event.RESUME
    return None if standing.status in TRANSITIONS[event].sources else Existing(standing)


def moved(found: Group, results: Results) -> Answers:
    """Answer the cancels or resumes whose workflow came back."""
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.workflow_id in came_back}
