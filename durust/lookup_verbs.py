"""What engines and clients tell of workflows one by one: their rows, their steps, their values, why they wait."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, overload

from durust.codec import Codec
from durust.decoding import DecodedStep, DecodedWorkflow, decode_step, decode_workflow
from durust.engine.registry import Definition
from durust.errors import InvalidArgument, WorkflowNotFound
from durust.explaining import account_of
from durust.handle import WorkflowHandle
from durust.model.criteria import check_count
from durust.model.filters import ListFilter, filter_of
from durust.model.names import check_name
from durust.model.reasons import Reason
from durust.model.records import Checkpoint, WorkflowRow
from durust.verbs import Verbs


class LookupVerbs(Verbs):
    """The verbs that block."""

    @abstractmethod
    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        """Return how the values of a workflow are read, and what is known of it here."""

    def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`.

        The result is rebuilt as the workflow's annotation says where it is registered here, or as *type*.
        """
        provider = self._footing("retrieve_workflow").provider
        rows = provider.workflows(ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)]))
        if not rows:
            raise WorkflowNotFound(workflow_id)
        return self._run_of(workflow_id, rows[0].name, type)

    def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first; by default those of this application.

        Rows that name no application belong to whoever has registered their workflow.
        """
        footing = self._footing("list_workflows")
        return footing.provider.workflows(filter_of(query, footing.scope))

    def list_steps(
        self, workflow_id: str, *, limit: int | None = None, offset: int = 0, newest_first: bool = False
    ) -> list[Checkpoint]:
        """List the recorded steps of a workflow by their places, with their errors and the children they started.

        Raises `WorkflowNotFound`, and `InvalidArgument` for a limit or an offset below zero.
        """
        provider = self._footing("list_steps").provider
        check_count("offset", offset)
        if limit is not None:
            check_count("limit", limit)
        if not provider.workflows(ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)])):
            raise WorkflowNotFound(workflow_id)
        steps = provider.history([workflow_id]).get(workflow_id, ())
        ordered = sorted(steps, key=lambda record: record.place, reverse=newest_first)
        return ordered[offset:] if limit is None else ordered[offset : offset + limit]

    def explain_workflow(self, workflow_id: str) -> Reason:
        """Say in one sentence why a workflow does not run, or where it does. Raises `WorkflowNotFound`.

        `code` is a word for programs, such as `queue_paused` or `waits_for_message`, and `sentence` is for people.
        """
        provider = self._footing("explain_workflow").provider
        return account_of(provider, workflow_id).reason

    @overload
    def decode(self, row: WorkflowRow) -> DecodedWorkflow: ...
    @overload
    def decode(self, row: Checkpoint) -> DecodedStep: ...
    def decode(self, row: WorkflowRow | Checkpoint) -> DecodedWorkflow | DecodedStep:
        """Read the values of a listed workflow or step, which a list holds as the database does.

        Never raises for a value: one that cannot be read is None, and `unreadable` says why.
        """
        match row:
            case WorkflowRow():
                return decode_workflow(row, *self._codec_of(row.name))
            case Checkpoint():
                return decode_step(row, self._codec_of(None)[0])
        raise InvalidArgument("row", row, "must be a WorkflowRow of a list, or a Checkpoint of its steps")


class AsyncLookupVerbs:
    """The verbs that are awaited."""

    _blocking: LookupVerbs

    async def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`."""
        return await asyncio.to_thread(lambda: self._blocking.retrieve_workflow(workflow_id, type=type))

    async def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first."""
        return await asyncio.to_thread(self._blocking.list_workflows, query)

    async def list_steps(
        self, workflow_id: str, *, limit: int | None = None, offset: int = 0, newest_first: bool = False
    ) -> list[Checkpoint]:
        """List the recorded steps of a workflow by their places, as the blocking twin does."""
        return await asyncio.to_thread(
            self._blocking.list_steps, workflow_id, limit=limit, offset=offset, newest_first=newest_first
        )

    async def explain_workflow(self, workflow_id: str) -> Reason:
        """Say in one sentence why a workflow does not run, or where it does, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.explain_workflow, workflow_id)

    @overload
    def decode(self, row: WorkflowRow) -> DecodedWorkflow: ...
    @overload
    def decode(self, row: Checkpoint) -> DecodedStep: ...
    def decode(self, row: WorkflowRow | Checkpoint) -> DecodedWorkflow | DecodedStep:
        """Read the values of a listed workflow or step, as the blocking twin does; there is nothing to await."""
        return self._blocking.decode(row)
