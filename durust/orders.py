"""What somebody outside of a workflow orders for it: to end, to go on, or to be gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from durust.admission import COMMIT_SECONDS
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, WorkflowNotFound
from durust.model.filters import ListFilter, Scope
from durust.model.names import check_name
from durust.model.records import WorkflowRow
from durust.model.status import DELAYED, ENQUEUED, PENDING
from durust.model.writes import (
    CalledOff,
    CancelWorkflow,
    DeleteWorkflow,
    Missing,
    Outcome,
    Recorded,
    Refused,
    ResumeWorkflow,
)
from durust.storage.provider import StateProvider

_UNFINISHED = (DELAYED, ENQUEUED, PENDING)


class Orders:
    """The way of orders into the database."""

    def __init__(self, provider: StateProvider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    def cancel(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel one workflow or many, in few commits; with *children* also all that they led to.

        Return the ids of those that this ended. What has ended stays as it is. One id that does not exist raises
        `WorkflowNotFound`; of many it is passed by.
        """
        ids = _ids(workflow)
        return _changed(ids, self._order(workflow, ids, [CancelWorkflow(one, children) for one in ids]))

    def cancel_before(self, scope: Scope, instant: datetime) -> list[str]:
        """Cancel what was made before an instant and has not ended, batch by batch; return the ids."""
        query = ListFilter(scope=scope, statuses=_UNFINISHED, created_before=instant)
        cancelled: list[str] = []
        while rows := self._provider.workflows(query):
            ids = [row.workflow_id for row in rows]
            cancelled += _changed(ids, self._journal.commit_all([CancelWorkflow(one) for one in ids], COMMIT_SECONDS))
            query = replace(query, after=rows[-1])
        return cancelled

    def delete(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Remove one workflow or many, in few commits, with *children* also all that they led to.

        Return the ids of those that were there. A parent goes before its children are looked for, because then it
        starts no other; so what a crash leaves of a family is found by the id of the parent that is gone.
        """
        ids, seen, deleted = _ids(workflow), set[str](), list[str]()
        while ids:
            writes = [DeleteWorkflow(workflow_id) for workflow_id in ids]
            deleted += _changed(ids, self._journal.commit_all(writes, COMMIT_SECONDS))
            seen.update(ids)
            ids = [child for child in self._children(ids) if child not in seen] if children else []
        return deleted

    def _children(self, parents: Sequence[str]) -> list[str]:
        found: list[str] = []
        query = ListFilter(parent_ids=parents)
        while rows := self._provider.workflows(query):
            found += [row.workflow_id for row in rows]
            query = replace(query, after=rows[-1])
        return found

    def resume(self, workflow: str | Iterable[str], queue: str | None = None) -> list[WorkflowRow]:
        """Queue one workflow or many again, in few commits; return the rows of those that exist, in order.

        What runs, is queued or has a result stays as it is. One id that does not exist raises `WorkflowNotFound`; of
        many it is passed by.
        """
        ids = _ids(workflow)
        self._order(workflow, ids, [ResumeWorkflow(workflow_id, queue) for workflow_id in ids])
        found = self._provider.workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
        rows = {row.workflow_id: row for row in found}
        return [rows[workflow_id] for workflow_id in ids if workflow_id in rows]

    def _order(
        self, asked: str | Iterable[str], ids: Sequence[str], writes: Sequence[CancelWorkflow | ResumeWorkflow]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = self._journal.commit_all(writes, COMMIT_SECONDS)
        for workflow_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, Refused):
                raise InvalidArgument("workflow", workflow_id, f"the database refused it: {outcome.reason}")
            if isinstance(outcome, Missing) and isinstance(asked, str):
                raise WorkflowNotFound(workflow_id)
        return outcomes


def _changed(ids: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the workflows that an order changed: those whose ids it was given, then those that they led to."""
    changed = [workflow_id for workflow_id, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, Recorded)]
    trees = (outcome.workflow_ids for outcome in outcomes if isinstance(outcome, CalledOff))
    return list(dict.fromkeys([*changed, *(workflow_id for tree in trees for workflow_id in tree)]))


def _ids(workflow: str | Iterable[str]) -> list[str]:
    """Return the ids, each once. Raises `InvalidArgument` for what is none."""
    ids = [workflow] if isinstance(workflow, str) else workflow
    if not isinstance(ids, Iterable):
        raise InvalidArgument("workflow", workflow, "must be an id or several, as in handle.id")
    return list(dict.fromkeys(check_name("workflow_id", workflow_id) for workflow_id in ids))
