"""What engines and clients offer to take workflows out of a database and put them into another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from durust.archives import Archives
from durust.handle import WorkflowHandle
from durust.verbs import Verbs


class ArchiveVerbs(Verbs):
    """The verbs that block."""

    def export_workflow(self, workflow_id: str, *, children: bool = False) -> dict[str, Any]:
        """Return a workflow with all that is its own, as a document that `json.dumps` takes.

        It holds the row, arguments and result, steps, events with their history, streams and messages, each value as it
        is written in the database with the name of its serialization; of one that runs, what had been recorded at one
        moment. With *children* the workflows that it started come along, and those that these started. Raises
        `WorkflowNotFound`.
        """
        return self._archives("export_workflow").export(workflow_id, children=children)

    def import_workflow(self, document: Mapping[str, Any]) -> WorkflowHandle[Any]:
        """Put the workflows of a document into this database, all or none; return the handle of the first.

        What had ended is there as it ended. What had not is queued, on its queue or the internal one and for its
        version, and goes on behind its last step: cancel or delete it where it came from first, or both run. It holds
        no deduplication id.

        Raises `WorkflowConflict` when an id is taken here, and `InvalidArgument` for what is no such document.
        """
        row = self._archives("import_workflow").enter(document)
        return self._run_of(row.workflow_id, row.name)

    def _archives(self, asked: str) -> Archives:
        footing = self._footing(asked)
        return Archives(footing.provider, footing.journal)


class AsyncArchiveVerbs:
    """The verbs that are awaited."""

    _blocking: ArchiveVerbs

    async def export_workflow(self, workflow_id: str, *, children: bool = False) -> dict[str, Any]:
        """Return a workflow with all that is its own, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.export_workflow(workflow_id, children=children))

    async def import_workflow(self, document: Mapping[str, Any]) -> WorkflowHandle[Any]:
        """Put the workflows of a document into this database, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.import_workflow, document)
