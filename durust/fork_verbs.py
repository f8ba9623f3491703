"""What engines and clients offer about forks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypedDict, Unpack, overload

from durust.errors import InvalidArgument
from durust.forks import ForkOptions, Forks, demand_outside, replaced
from durust.handle import WorkflowHandle
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition
from durust.verbs import Verbs


class ForkChanges(TypedDict, total=False):
    """What may be other in a fork than in its source."""

    app_version: str | None
    queue: str | QueueDefinition | None
    partition_key: str | None
    timeout: float | timedelta | None
    replacement_children: Mapping[str, str] | None


class ForkVerbs(Verbs):
    """The verbs that block."""

    @overload
    def fork_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self,
        workflow: str,
        start_step: int | None = None,
        *,
        workflow_id: str | None = None,
        **changes: Unpack[ForkChanges],
    ) -> WorkflowHandle[Any]: ...
    @overload
    def fork_workflow(
        self, workflow: Iterable[str], start_step: int | None = None, **changes: Unpack[ForkChanges]
    ) -> list[WorkflowHandle[Any]]: ...
    def fork_workflow(
        self,
        workflow: str | Iterable[str],
        start_step: int | None = None,
        *,
        workflow_id: str | None = None,
        **changes: Unpack[ForkChanges],
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Start a new workflow that has what another one recorded before *start_step*, and does the rest anew.

        *start_step* is a step's number as `list_steps` shows it; without one it is the step that made the workflow
        fail. The source stays as it is, whatever it does; of one that runs the fork has what is recorded by now. The
        fork has the source's arguments, attributes and user, the values of its events and the entries of its streams
        from before that step; messages stay with the source, and its children stay what they are, unless
        *replacement_children* names another workflow for one. It keeps the version of the source unless *app_version*
        says another, waits on the internal queue or on *queue*, and has no timeout unless one is given.

        Its id is *workflow_id* or a fresh one; an id that is a fork of this source already answers that fork's handle.
        Of many workflows, whose ids cannot be chosen, those that are gone are passed by, and without *start_step*
        those that have not failed. Raises `WorkflowNotFound`, `WorkflowConflict` for an id that is taken,
        `QueueNotFound`, `InvalidArgument`.
        """
        footing = self._footing("fork_workflow")
        forks = Forks(footing.provider, footing.journal)
        demand_outside("fork")
        options = self._fork_options(**changes)
        if isinstance(workflow, str):
            chosen = None if workflow_id is None else check_name("workflow_id", workflow_id)
            row = forks.fork(check_name("workflow", workflow), start_step, chosen, options)
            return self._run_of(row.workflow_id, row.name)
        if not isinstance(workflow, Iterable):
            raise InvalidArgument("workflow", workflow, "must be an id or several, as in handle.id")
        if workflow_id is not None:
            raise InvalidArgument("workflow_id", workflow_id, "cannot be the id of several forks: fork one by one")
        return [self._run_of(row.workflow_id, row.name) for row in forks.fork_many(workflow, start_step, options)]

    def _fork_options(
        self,
        *,
        app_version: str | None = None,
        queue: str | QueueDefinition | None = None,
        partition_key: str | None = None,
        timeout: float | timedelta | None = None,
        replacement_children: Mapping[str, str] | None = None,
    ) -> ForkOptions:
        asked = WorkflowOptions(app_version=app_version, partition_key=partition_key, timeout=timeout)
        if queue is None and partition_key is not None:
            raise InvalidArgument("partition_key", partition_key, "belongs to a queue; say which")
        return ForkOptions(
            app_version=app_version,
            queue=None if queue is None else self._queue_for(queue, [asked]),
            partition_key=partition_key,
            timeout_ms=asked.timeout_ms,
            children=replaced(replacement_children),
        )


class AsyncForkVerbs:
    """The verbs that are awaited."""

    _blocking: ForkVerbs

    @overload
    async def fork_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self,
        workflow: str,
        start_step: int | None = None,
        *,
        workflow_id: str | None = None,
        **changes: Unpack[ForkChanges],
    ) -> WorkflowHandle[Any]: ...
    @overload
    async def fork_workflow(
        self, workflow: Iterable[str], start_step: int | None = None, **changes: Unpack[ForkChanges]
    ) -> list[WorkflowHandle[Any]]: ...
    async def fork_workflow(
        self, workflow: str | Iterable[str], start_step: int | None = None, **changes: Any
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Start a new workflow that has what another one recorded before a step, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.fork_workflow(workflow, start_step, **changes))
