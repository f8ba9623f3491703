"""Changes when a delayed workflow is due."""

from __future__ import annotations

from datetime import timedelta

from durust.admission import COMMIT_SECONDS
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, ProviderUnavailable, WorkflowNotFound
from durust.model.names import check_name
from durust.model.retry import duration_seconds
from durust.model.status import DELAYED
from durust.model.writes import Existing, Missing, Recorded, Refused, SetDelay


def set_delay(journal: Journal, workflow_id: str, delay: float | timedelta) -> None:
    """Let a delayed workflow be due *delay* after now by the database's clock, or at once.

    Raises `WorkflowNotFound`, and `InvalidArgument` for a workflow that is not delayed or a delay that cannot be meant.
    """
    write = SetDelay(check_name("workflow_id", workflow_id), duration_seconds("delay", delay))
    match journal.commit(write, COMMIT_SECONDS):
        case Recorded():
            return
        case Missing():
            raise WorkflowNotFound(workflow_id)
        case Existing(row):
            found = "parked in a wait of its own" if row.status is DELAYED else row.status
            raise InvalidArgument(
                "workflow_id",
                workflow_id,
                f"is {found}; only one that is DELAYED and has not run yet has a delay to set",
            )
        case Refused(reason):
            raise InvalidArgument("delay", delay, f"the database refused it: {reason}")
        case outcome:
            raise ProviderUnavailable("the database", f"an unexpected answer to a delay: {outcome}")
