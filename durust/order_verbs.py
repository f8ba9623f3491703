"""What engines and clients order of workflows: to end, to go on, to wait for less long, to be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, overload

from durust.delays import set_delay
from durust.errors import InvalidArgument
from durust.handle import WorkflowHandle
from durust.model.queues import QueueDefinition
from durust.orders import Orders
from durust.verbs import Verbs


class OrderVerbs(Verbs):
    """The verbs that block."""

    def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs; with *children* also what it started, and so on.

        What is queued or waits never runs. What runs records nothing any more and stops at its next operation, an async
        workflow also within a step or a wait. What has ended stays as it is, and with *children* those that it started
        end all the same; a child that is just being started ends too. Return the ids of those that this ended.
        Raises `WorkflowNotFound` for one id that does not exist; of many it is passed by.
        """
        return self._orders("cancel_workflow").cancel(workflow, children=children)

    @overload
    def resume_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self, workflow: str, *, queue: str | QueueDefinition | None = None
    ) -> WorkflowHandle[Any]: ...
    @overload
    def resume_workflow(
        self, workflow: Iterable[str], *, queue: str | QueueDefinition | None = None
    ) -> list[WorkflowHandle[Any]]: ...
    def resume_workflow(
        self, workflow: str | Iterable[str], *, queue: str | QueueDefinition | None = None
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Let a workflow that was cancelled or set aside go on behind its last step; return its handle, or all handles.

        It goes back to its queue, or to *queue*, with its attempts and its deadline forgotten; a timeout counts anew
        from its next start. A delayed one is queued before its time. What runs, is queued or has a result stays as it
        is.
        Raises `QueueNotFound`, and `WorkflowNotFound` for one id that does not exist; of many it is passed by.
        """
        orders = self._orders("resume_workflow")
        name = None if queue is None else self._queue_for(queue, [])
        handles = [self._run_of(row.workflow_id, row.name) for row in orders.resume(workflow, name)]
        return handles[0] if isinstance(workflow, str) else handles

    def delete_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Remove a workflow by its id, or many by theirs; return the ids that were there.

        All that is theirs goes: steps, events, streams, messages, arguments and result. What runs is deleted too: it
        records nothing any more and stops at its next operation. Whoever waits for a result gets `WorkflowNotFound`.
        With *children* the workflows that they started go along, and those that these started. Deleting what is gone
        does nothing.
        """
        return self._orders("delete_workflow").delete(workflow, children=children)

    def cancel_workflows_before(self, instant: datetime) -> list[str]:
        """Cancel the unfinished workflows of this application that were made before *instant*; return their ids.

        It is done in batches of a thousand, each a commit of its own. Raises `InvalidArgument` for a datetime without
        a time zone.
        """
        footing = self._footing("cancel_workflows_before")
        if not isinstance(instant, datetime) or instant.utcoffset() is None:
            raise InvalidArgument("instant", instant, "must be a datetime with a time zone, as in datetime.now(UTC)")
        return self._orders("cancel_workflows_before").cancel_before(footing.scope(), instant)

    def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, sooner or later than it was; 0 queues it at once.

        Raises `WorkflowNotFound`, and `InvalidArgument` for a workflow that is not delayed (a parked run waits for
        something else) or a delay that cannot be meant.
        """
        set_delay(self._footing("set_delay").journal, workflow_id, delay)

    def _orders(self, asked: str) -> Orders:
        footing = self._footing(asked)
        return Orders(footing.provider, footing.journal)


class AsyncOrderVerbs:
    """The verbs that are awaited."""

    _blocking: OrderVerbs

    async def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.cancel_workflow, workflow, children=children)

    @overload
    async def resume_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self, workflow: str, *, queue: str | QueueDefinition | None = None
    ) -> WorkflowHandle[Any]: ...
    @overload
    async def resume_workflow(
        self, workflow: Iterable[str], *, queue: str | QueueDefinition | None = None
    ) -> list[WorkflowHandle[Any]]: ...
    async def resume_workflow(
        self, workflow: str | Iterable[str], *, queue: str | QueueDefinition | None = None
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Let a workflow that was cancelled or set aside go on, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.resume_workflow(workflow, queue=queue))

    async def delete_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Remove a workflow by its id, or many by theirs, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.delete_workflow, workflow, children=children)

    async def cancel_workflows_before(self, instant: datetime) -> list[str]:
        """Cancel the unfinished workflows that were made before *instant*, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.cancel_workflows_before, instant)

    async def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.set_delay, workflow_id, delay)
