"""What engines offer to whoever starts workflows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ParamSpec, TypeVar, overload

from durust.admission import calls_of, checked, one_by_one
from durust.debouncing import Debounced, Startable
from durust.engine.engine import Engine
from durust.errors import InvalidArgument
from durust.handle import WorkflowHandle, ensure_no_loop
from durust.model.options import WorkflowOptions
from durust.queue import WorkflowQueue
from durust.starter import Named, Starter

P = ParamSpec("P")
R = TypeVar("R")


class StartVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _live(self, asked: str) -> Engine:
        """Return the engine that runs, for the verb that was *asked*. Raises `NotLaunched`."""

    @overload
    def run_workflow(self, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
    @overload
    def run_workflow(
        self, workflow: Startable[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> WorkflowHandle[R]: ...
    @overload
    def run_workflow(
        self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any
    ) -> WorkflowHandle[Any]: ...
    def run_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Start a workflow in this process and return its handle, once the start is committed.

        When no slot is free it is queued instead. An id that exists already answers a handle to that workflow. A
        debounced one waits for its time on the internal queue.
        Raises `WorkflowNotRegistered`, `TypeError` for arguments that do not fit, `SerializationError`,
        `WorkflowConflict` when the id stands for another workflow, `ProviderUnavailable`.
        """
        engine = self._live("run_workflow")
        chosen = checked(kwargs.pop("options", None))
        starter = Starter(engine)
        if chosen.partition_key is not None:
            raise InvalidArgument("partition_key", chosen.partition_key, "belongs to a queue; use engine.enqueue")
        if isinstance(workflow, Debounced):
            return starter.debounce(workflow, args, kwargs, chosen, None)
        definition = starter.definition(workflow)
        if chosen.dedup_id is not None:
            raise InvalidArgument("dedup_id", chosen.dedup_id, "deduplication belongs to a queue; use engine.enqueue")
        definition.admit(chosen.authenticated_user, chosen.authenticated_roles)
        encoded = starter.encode(definition, args, kwargs)
        if (
            chosen.delay_seconds
            or chosen.app_version not in {None, engine.versions.of(definition)}
            or not engine.slots.take(None)
        ):
            return starter.enqueue(definition, [starter.queued(definition, encoded, chosen, None)], [chosen])[0]
        return starter.start_here(definition, encoded, chosen)

    @overload
    def start(self, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def start(
        self, workflow: Startable[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> R: ...
    @overload
    def start(self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any) -> Any: ...
    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Start a workflow and wait for its result; errors are those of `run_workflow` and of `handle.get_result`."""
        ensure_no_loop("engine.start(...)", "await engine.aio.start(...)")
        return self.run_workflow(workflow, *args, **kwargs).get_result()

    @overload
    def enqueue(
        self, queue: str | WorkflowQueue, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: Startable[..., R],
        /,
        *args: Any,
        options: WorkflowOptions | None,
        **kwargs: Any,
    ) -> WorkflowHandle[R]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]: ...
    def enqueue(self, queue: str | WorkflowQueue, workflow: Any, /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Put a workflow on a queue and return its handle, once that is committed.

        Raises what `run_workflow` raises, `QueueNotFound`, and `QueueDeduplicated` when the queue holds the
        deduplication id already; with `on_duplicate="return"` the handle is that of the workflow that holds it, or
        `WorkflowConflict` tells that another kind of workflow does.
        """
        starter = Starter(self._live("enqueue"))
        options = checked(kwargs.pop("options", None))
        name = starter.queue_name(queue, [options])
        if isinstance(workflow, Debounced):
            return starter.debounce(workflow, args, kwargs, options, name)
        definition = starter.definition(workflow)
        encoded = starter.encode(definition, args, kwargs)
        return starter.enqueue(definition, [starter.queued(definition, encoded, options, name)], [options])[0]

    def enqueue_many(
        self,
        queue: str | WorkflowQueue,
        workflow: Named,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, one for each tuple of arguments, in few commits.

        *options*, where given, has one entry for each tuple. Raises what `enqueue` raises; what was committed before
        an error stays.
        """
        starter = Starter(self._live("enqueue_many"))
        calls = calls_of(arguments)
        chosen = one_by_one(options, len(calls))
        name = starter.queue_name(queue, chosen)
        definition = starter.definition(workflow)
        writes = [
            starter.queued(definition, starter.encode(definition, args, {}), option, name)
            for args, option in zip(calls, chosen, strict=True)
        ]
        return starter.enqueue(definition, writes, chosen)


class AsyncStartVerbs:
    """The verbs that are awaited."""

    _blocking: StartVerbs

    @overload
    async def run_workflow(
        self, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    async def run_workflow(
        self, workflow: Startable[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> WorkflowHandle[R]: ...
    @overload
    async def run_workflow(
        self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any
    ) -> WorkflowHandle[Any]: ...
    async def run_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Start a workflow, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.run_workflow(workflow, *args, **kwargs))

    @overload
    async def start(self, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def start(
        self, workflow: Startable[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> R: ...
    @overload
    async def start(
        self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any
    ) -> Any: ...
    async def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Start a workflow and await its result."""
        return await (await self.run_workflow(workflow, *args, **kwargs))

    @overload
    async def enqueue(
        self, queue: str | WorkflowQueue, workflow: Startable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    async def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: Startable[..., R],
        /,
        *args: Any,
        options: WorkflowOptions | None,
        **kwargs: Any,
    ) -> WorkflowHandle[R]: ...
    @overload
    async def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]: ...
    async def enqueue(
        self, queue: str | WorkflowQueue, workflow: Any, /, *args: Any, **kwargs: Any
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.enqueue(queue, workflow, *args, **kwargs))

    async def enqueue_many(
        self,
        queue: str | WorkflowQueue,
        workflow: Named,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.enqueue_many, queue, workflow, arguments, options=options)
