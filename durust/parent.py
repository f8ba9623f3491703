"""What a workflow's body starts and waits for: other workflows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from durust.decorators import Workflow
from durust.errors import InvalidArgument
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.retry import duration_seconds
from durust.nursery import Calling, Nursery
from durust.queue import WorkflowQueue
from durust.routines.children import start_child
from durust.routines.effects import Routine, StepEnd
from durust.routines.results import FIRST_NAME, RESULT_NAME, get_result, wait_first
from durust.routines.run import Run
from durust.routines.steps import Task
from durust.run_handle import DurableHandle, Reference, SyncDurableHandle

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=Reference)


class Family(ABC):
    """What both colours share."""

    _run: Run
    _nursery: Nursery

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _drawn(self, name: str, kind: Any) -> Task:
        """Return the task of a value that the database makes."""

    def _calling(
        self, asked: str, workflow: Any, args: Any, kwargs: Any, queue: str | WorkflowQueue | None = None
    ) -> Calling:
        self._ensure_here(asked)
        name = queue.name if isinstance(queue, WorkflowQueue) else queue
        if name is not None:
            check_name("queue", name)
        return self._nursery.call(self._run, workflow, args, kwargs, name)

    def _awaiting(self, handle: Reference, place: int, timeout: float | timedelta | None) -> Routine[StepEnd]:
        """Return the routine that waits for a result; a result is written down as its own workflow writes it."""
        seconds = None if timeout is None else duration_seconds("timeout", timeout)
        task = replace(self._drawn(RESULT_NAME, handle.result_type), codec=handle.codec)
        return get_result(self._run, place, handle.id, task, handle.read, seconds)

    def _racing(self, handles: Sequence[Reference], place: int, timeout: float | timedelta | None) -> Routine[StepEnd]:
        seconds = None if timeout is None else duration_seconds("timeout", timeout)
        return wait_first(
            self._run, place, tuple(handle.id for handle in handles), self._drawn(FIRST_NAME, str), seconds
        )


class Parent(Family):
    """The operations of an `async def` workflow."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    @overload
    def start_workflow(
        self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, DurableHandle[R]]: ...
    @overload
    def start_workflow(
        self, workflow: Workflow[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> Coroutine[Any, Any, DurableHandle[R]]: ...
    @overload
    def start_workflow(
        self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, DurableHandle[Any]]: ...
    def start_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, DurableHandle[Any]]:
        """Start another workflow as a child of this one and return its handle, once that is recorded.

        Any executor with a free slot runs it. Its id is this workflow's with the number of the operation, unless one
        is given; an id that exists already answers a handle to that workflow. It inherits the deadline and the
        authenticated user. Raises `WorkflowNotRegistered`, `TypeError` for arguments that do not fit,
        `SerializationError`, and `WorkflowConflict` when the id stands for another workflow.
        """
        calling = self._calling("ctx.start_workflow", workflow, args, kwargs)
        return self._bear(calling, self._run.take_place())

    @overload
    def enqueue(
        self, queue: str | WorkflowQueue, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, DurableHandle[R]]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: Workflow[..., R],
        /,
        *args: Any,
        options: WorkflowOptions | None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, DurableHandle[R]]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, DurableHandle[Any]]: ...
    def enqueue(
        self, queue: str | WorkflowQueue, workflow: Any, /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, DurableHandle[Any]]:
        """Put a child on a queue and return its handle, once that is recorded.

        Raises what `start_workflow` raises, `QueueNotFound`, and `QueueDeduplicated` when the queue holds the
        deduplication id already; with `on_duplicate="return"` the handle is that of the workflow that holds it.
        """
        calling = self._calling("ctx.enqueue", workflow, args, kwargs, queue)
        return self._bear(calling, self._run.take_place())

    def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> DurableHandle[Any]:
        """Return a handle to any workflow, whose result is rebuilt as *type*. Whether it is there, its result tells."""
        self._ensure_here("ctx.retrieve_workflow")
        return DurableHandle(check_name("workflow_id", workflow_id), self, self._nursery.codec(), type)

    def wait_first(
        self, handles: Iterable[DurableHandle[R]], timeout: float | timedelta | None = None
    ) -> Coroutine[Any, Any, DurableHandle[R]]:
        """Wait for the first of some workflows to end and return its handle; recorded, so a replay sees the same.

        Which result it has, or which error, tells the handle. Raises `InvalidArgument` when there is no handle, and
        `TimeoutError` after *timeout* seconds.
        """
        self._ensure_here("ctx.wait_first")
        racers = racers_of(handles, DurableHandle)
        place = self._run.take_place_of_wait()
        return self._won(racers, self._end(place, self._racing(racers, place, timeout), is_wait=True))

    async def _won(self, racers: Sequence[DurableHandle[R]], race: Coroutine[Any, Any, str]) -> DurableHandle[R]:
        winner = await race
        return next(handle for handle in racers if handle.id == winner)

    def _call_workflow(self, called: Workflow[..., Any], args: Any, kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Start a child and return its result: all its places are taken now."""
        calling = self._calling(called.name, called, args, kwargs)
        place, of_result = self._run.take_place(), self._run.take_place_of_wait()
        return self._call_through(calling, place, of_result)

    def _ask_result(self, handle: Reference, timeout: float | timedelta | None) -> Coroutine[Any, Any, Any]:
        self._ensure_here("handle.get_result")
        return self._result(handle, self._run.take_place_of_wait(), timeout)

    def _result(self, handle: Reference, place: int, timeout: float | timedelta | None) -> Coroutine[Any, Any, Any]:
        return self._end(place, self._awaiting(handle, place, timeout), is_wait=True)

    async def _call_through(self, calling: Calling, place: int, of_result: int) -> Any:
        handle = await self._bear(calling, place)
        return await self._result(handle, of_result, None)

    def _bear(self, calling: Calling, place: int) -> Coroutine[Any, Any, DurableHandle[Any]]:
        return self._born(calling, self._end(place, start_child(self._run, place, calling.birth(place))))

    async def _born(self, calling: Calling, birth: Coroutine[Any, Any, str]) -> DurableHandle[Any]:
        return DurableHandle(await birth, self, *calling.reading())


class SyncParent(Family):
    """The operations of a `def` workflow."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    @overload
    def start_workflow(
        self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncDurableHandle[R]: ...
    @overload
    def start_workflow(
        self, workflow: Workflow[..., R], /, *args: Any, options: WorkflowOptions | None, **kwargs: Any
    ) -> SyncDurableHandle[R]: ...
    @overload
    def start_workflow(
        self, workflow: str, /, *args: Any, options: WorkflowOptions | None = None, **kwargs: Any
    ) -> SyncDurableHandle[Any]: ...
    def start_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> SyncDurableHandle[Any]:
        """Start another workflow as a child of this one and return its handle, once that is recorded.

        Any executor with a free slot runs it. Its id is this workflow's with the number of the operation, unless one
        is given; an id that exists already answers a handle to that workflow. It inherits the deadline and the
        authenticated user. Raises `WorkflowNotRegistered`, `TypeError` for arguments that do not fit,
        `SerializationError`, and `WorkflowConflict` when the id stands for another workflow.
        """
        calling = self._calling("ctx.start_workflow", workflow, args, kwargs)
        return self._bear(calling, self._run.take_place())

    @overload
    def enqueue(
        self, queue: str | WorkflowQueue, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncDurableHandle[R]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: Workflow[..., R],
        /,
        *args: Any,
        options: WorkflowOptions | None,
        **kwargs: Any,
    ) -> SyncDurableHandle[R]: ...
    @overload
    def enqueue(
        self,
        queue: str | WorkflowQueue,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> SyncDurableHandle[Any]: ...
    def enqueue(
        self, queue: str | WorkflowQueue, workflow: Any, /, *args: Any, **kwargs: Any
    ) -> SyncDurableHandle[Any]:
        """Put a child on a queue and return its handle, once that is recorded.

        Raises what `start_workflow` raises, `QueueNotFound`, and `QueueDeduplicated` when the queue holds the
        deduplication id already; with `on_duplicate="return"` the handle is that of the workflow that holds it.
        """
        calling = self._calling("ctx.enqueue", workflow, args, kwargs, queue)
        return self._bear(calling, self._run.take_place())

    def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> SyncDurableHandle[Any]:
        """Return a handle to any workflow, whose result is rebuilt as *type*. Whether it is there, its result tells."""
        self._ensure_here("ctx.retrieve_workflow")
        return SyncDurableHandle(check_name("workflow_id", workflow_id), self, self._nursery.codec(), type)

    def wait_first(
        self, handles: Iterable[SyncDurableHandle[R]], timeout: float | timedelta | None = None
    ) -> SyncDurableHandle[R]:
        """Wait for the first of some workflows to end and return its handle; recorded, so a replay sees the same.

        Which result it has, or which error, tells the handle. Raises `InvalidArgument` when there is no handle, and
        `TimeoutError` after *timeout* seconds.
        """
        self._ensure_here("ctx.wait_first")
        racers = racers_of(handles, SyncDurableHandle)
        winner = self._end(self._racing(racers, self._run.take_place_of_wait(), timeout))
        return next(handle for handle in racers if handle.id == winner)

    def _call_workflow(self, called: Workflow[..., Any], args: Any, kwargs: Any) -> Any:
        """Start a child and return its result: all its places are taken now, as in the other colour."""
        calling = self._calling(called.name, called, args, kwargs)
        place, of_result = self._run.take_place(), self._run.take_place_of_wait()
        return self._result(self._bear(calling, place), of_result, None)

    def _ask_result(self, handle: Reference, timeout: float | timedelta | None) -> Any:
        self._ensure_here("handle.get_result")
        return self._result(handle, self._run.take_place_of_wait(), timeout)

    def _result(self, handle: Reference, place: int, timeout: float | timedelta | None) -> Any:
        return self._end(self._awaiting(handle, place, timeout))

    def _bear(self, calling: Calling, place: int) -> SyncDurableHandle[Any]:
        child_id = self._end(start_child(self._run, place, calling.birth(place)))
        return SyncDurableHandle(child_id, self, *calling.reading())


def racers_of(handles: Iterable[Any], kind: type[H]) -> list[H]:
    """Return *handles*, each of that *kind*. Raises `InvalidArgument`."""
    racers = list(handles)
    if not racers:
        raise InvalidArgument("handles", racers, "must not be empty: nobody would ever be the first")
    for handle in racers:
        if not isinstance(handle, kind):
            raise InvalidArgument("handles", handle, "must be handles of this run, as ctx.start_workflow answers them")
    return racers
