"""What engines and clients offer to take workflows out of a database and put them into another."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from durust.archives import Archives
from durust.handle import WorkflowHandle


class ArchiveVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _archives_of(self, asked: str) -> Archives:
        """Return the way of documents out of the database and into it, for the verb that was *asked*."""

    @abstractmethod
    def _run_of(self, workflow_id: str, workflow: str) -> WorkflowHandle[Any]:
        """Return a handle to a run of a workflow."""

    def export_workflow(self, workflow_id: str, *, children: bool = False) -> dict[str, Any]:
        """Return a workflow with all that is its own, as a document that `json.dumps` takes.

        It holds the row, arguments and result, steps, events with their history, streams and messages, each value as it
        is written in the database with the name of its serialization; of one that runs, what had been recorded at one
        moment. With *children* the workflows that it started come along, and those that these started. Raises
        `WorkflowNotFound`.
        """
        return self._archives_of("export_workflow").export(workflow_id, children=children)

    def import_workflow(self, document: Mapping[str, Any]) -> WorkflowHandle[Any]:
        """Put the workflows of a document into this database, all or none; return the handle of the first.

        What had ended is there as it ended. What had not is queued, on its queue or the internal one and for its
        version, and goes on behind its last step: cancel or delete it where it came from first, or both run. It holds
        no deduplication id.

        Raises `WorkflowConflict` when an id is taken here, and `InvalidArgument` for what is no such document.
        """
        row = self._archives_of("import_workflow").enter(document)
        return self._run_of(row.workflow_id, row.name)


class AsyncArchiveVerbs:
    """The verbs that are awaited."""

    _archiving: ArchiveVerbs

    async def export_workflow(self, workflow_id: str, *, children: bool = False) -> dict[str, Any]:
        """Return a workflow with all that is its own, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._archiving.export_workflow(workflow_id, children=children))

    async def import_workflow(self, document: Mapping[str, Any]) -> WorkflowHandle[Any]:
        """Put the workflows of a document into this database, as the blocking twin does."""
        return await asyncio.to_thread(self._archiving.import_workflow, document)
