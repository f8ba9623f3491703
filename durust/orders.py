"""What somebody outside of a workflow orders for it: to end, or to go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durust.admission import COMMIT_SECONDS
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, WorkflowNotFound
from durust.model.filters import ListFilter
from durust.model.names import check_name
from durust.model.records import WorkflowRow
from durust.model.writes import CancelWorkflow, Missing, Outcome, Refused, ResumeWorkflow
from durust.storage.provider import StateProvider


class Orders:
    """The way of cancels and resumes into the database."""

    def __init__(self, provider: StateProvider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    def cancel(self, workflow: str | Iterable[str], *, children: bool = False) -> None:
        """Cancel one workflow or many, in few commits; with *children* also all that they led to.

        What has ended stays as it is. One id that does not exist raises `WorkflowNotFound`; of many it is passed by.
        """
        ids = _ids(workflow)
        self._order(workflow, ids, [CancelWorkflow(workflow_id, children) for workflow_id in ids])

    def resume(self, workflow: str | Iterable[str]) -> list[WorkflowRow]:
        """Queue one workflow or many again, in few commits; return the rows of those that exist, in order.

        What runs, is queued or has a result stays as it is. One id that does not exist raises `WorkflowNotFound`; of
        many it is passed by.
        """
        ids = _ids(workflow)
        self._order(workflow, ids, [ResumeWorkflow(workflow_id) for workflow_id in ids])
        found = self._provider.workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
        rows = {row.workflow_id: row for row in found}
        return [rows[workflow_id] for workflow_id in ids if workflow_id in rows]

    def _order(
        self, asked: str | Iterable[str], ids: Sequence[str], writes: Sequence[CancelWorkflow | ResumeWorkflow]
    ) -> None:
        outcomes: list[Outcome] = self._journal.commit_all(writes, COMMIT_SECONDS)
        for workflow_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, Refused):
                raise InvalidArgument("workflow", workflow_id, f"the database refused it: {outcome.reason}")
            if isinstance(outcome, Missing) and isinstance(asked, str):
                raise WorkflowNotFound(workflow_id)


def _ids(workflow: str | Iterable[str]) -> list[str]:
    """Return the ids, each once. Raises `InvalidArgument` for what is none."""
    ids = [workflow] if isinstance(workflow, str) else workflow
    if not isinstance(ids, Iterable):
        raise InvalidArgument("workflow", workflow, "must be an id or several, as in handle.id")
    return list(dict.fromkeys(check_name("workflow_id", workflow_id) for workflow_id in ids))
