"""The client: durust for processes that run nothing themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from durust.admission import Admission, calls_of, checked, one_by_one
from durust.codec import UNTYPED, Codec
from durust.debouncing import Debounced
from durust.decorators import Workflow
from durust.engine.current import in_body
from durust.engine.outpost import Outpost
from durust.engine.registry import Definition
from durust.errors import InvalidArgument
from durust.handle import WorkflowHandle
from durust.lending_verbs import AsyncLendingVerbs, LendingVerbs
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition, check_fit
from durust.model.records import QueueRow
from durust.model.starts import queued
from durust.model.writes import StartWorkflow
from durust.settings import Settings
from durust.shared_verbs import AsyncSharedVerbs, SharedVerbs
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider


class DurableClient(SharedVerbs[str], LendingVerbs):
    """Queues workflows and reads about them, in a process that runs none: a web server, a script, a notebook.

    It imports no workflow and names each by its text; workers elsewhere run them. *database* is a URL or a provider, as
    for `DurableEngine`; one in memory must be the provider that an engine of this process uses. Making a client touches
    nothing. On its first use it looks whether the schema is there, which it neither makes nor changes: that raises
    `SchemaMismatch`. A client may be used from any thread; `close()` it, or use `with`.

    Arguments are written as JSON. A dataclass, a `datetime`, a tuple and the like are written if their own types
    rebuild them, and the workflow gets them back as its annotations say: without annotations it gets plain JSON. A
    result is plain JSON unless a handle is told its `type`.

    Raises `InvalidArgument` for a URL or a setting that cannot be meant.
    """

    def __init__(
        self,
        database: str | StateProvider | None = None,
        *,
        app_name: str | None = None,
        serializer: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings or Settings.load(app_name=app_name, serializer=serializer)
        if isinstance(database, str) and database.startswith("memory:"):
            raise InvalidArgument(
                "database", database, "would be another memory than any engine's: pass the engine's InMemoryProvider"
            )
        self._codec = Codec(serializer=self._settings.serializer, value_bytes_max=self._settings.value_bytes_max)
        self._outpost = Outpost(
            lambda: open_provider(database, app_name=self._settings.app_name),
            self._settings,
            owns_provider=database is None or isinstance(database, str),
        )

    @property
    def aio(self) -> AsyncDurableClient:
        """Return the awaiting view of this client."""
        return AsyncDurableClient(self)

    @property
    def settings(self) -> Settings:
        """Return the client's settings."""
        return self._settings

    def close(self) -> None:
        """Close the connections; a provider that was passed in is its owner's to close. Idempotent."""
        self._outpost.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Queueing

    def enqueue(
        self,
        queue: str | QueueDefinition,
        workflow: str | Debounced[..., Any],
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue and return its handle, once that is committed; idle workers are told at once.

        A debounced one, `durust.debounce("name", ...)`, waits there for its time.

        Nobody needs to know the queue or the workflow yet: then it waits for a worker that does. An id that exists
        answers a handle to that workflow. Raises `SerializationError`, `QueueDeduplicated`, `WorkflowConflict` when the
        id stands for another workflow, `SchemaMismatch`, `ProviderUnavailable`.
        """
        chosen = checked(options)
        if isinstance(workflow, Debounced):
            write = self._queued(None, queue, workflow.name, args, kwargs, chosen)
            return self._handle(self._admission().debounce(workflow.write(write, chosen)))
        write = self._queued(None, queue, workflow, args, kwargs, chosen)
        return self._admit([write], [chosen])[0]

    def enqueue_many(
        self,
        queue: str | QueueDefinition,
        workflow: str,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, one for each tuple of arguments, in few commits.

        *options*, where given, has one entry for each tuple. Raises what `enqueue` raises; what was committed before
        an error stays.
        """
        calls = calls_of(arguments)
        chosen = one_by_one(options, len(calls))
        known = self._known()
        writes = [
            self._queued(known, queue, workflow, args, {}, option) for args, option in zip(calls, chosen, strict=True)
        ]
        return self._admit(writes, chosen) if writes else []

    # Inside

    def _footing(self, asked: str) -> Outpost:
        del asked
        return self._outpost

    def _run_of(self, workflow_id: str, workflow: str, type_: Any = None) -> WorkflowHandle[Any]:
        del workflow
        return self._handle(workflow_id, type_)

    def _queue_for(self, queue: str | QueueDefinition, options: Sequence[WorkflowOptions]) -> str:
        name = _name_of(queue)
        known = self._known().get(name) if options else None
        for each in options:
            check_fit(known, each)
        return name

    def _own_versions(self) -> None:
        return None

    def _scheduled(self, workflow: str) -> str:
        return _named(workflow)

    def _queued(
        self,
        known: dict[str, QueueRow] | None,
        queue: str | QueueDefinition,
        workflow: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: WorkflowOptions,
    ) -> StartWorkflow:
        activity = in_body()
        if activity is not None:
            raise InvalidArgument(
                "workflow",
                activity.run.workflow_id,
                "a workflow's body runs again after a crash, and would queue again: call the client in a step",
            )
        name = _named(workflow)
        on = _name_of(queue)
        check_fit((self._known() if known is None else known).get(on), options)
        encoded = self._codec.dump_call(name, args, kwargs)
        return queued(
            name,
            encoded.text,
            encoded.serialization,
            options,
            queue=on,
            app_name=self._settings.app_name,
        )

    def _known(self) -> dict[str, QueueRow]:
        """Return the stored queues, by which a call is judged that none of their workers could take up."""
        return {row.name: row for row in self._outpost.provider.queues()}

    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        del workflow
        return self._codec, None

    def _admit(self, writes: list[StartWorkflow], options: list[WorkflowOptions]) -> list[WorkflowHandle[Any]]:
        return [self._handle(one) for one in self._admission().admit(writes, options)]

    def _admission(self) -> Admission:
        return Admission(self._outpost.provider, self._outpost.journal)

    def _handle(self, workflow_id: str, type_: Any = None) -> WorkflowHandle[Any]:
        return WorkflowHandle(workflow_id, self._outpost, self._codec, UNTYPED if type_ is None else type_)


def _named(workflow: object) -> str:
    if isinstance(workflow, Workflow):
        raise InvalidArgument("workflow", workflow.name, f"is named by its text here, as in {workflow.name!r}")
    return check_name("workflow", workflow)


def _name_of(queue: str | QueueDefinition) -> str:
    return queue.name if isinstance(queue, QueueDefinition) else check_name("queue", queue)


class AsyncDurableClient(AsyncSharedVerbs[str], AsyncLendingVerbs):
    """The awaiting view of a client; with `async with` it is closed at the end."""

    _blocking: DurableClient

    def __init__(self, client: DurableClient) -> None:
        self._blocking = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the client, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.close)

    async def enqueue(
        self,
        queue: str | QueueDefinition,
        workflow: str | Debounced[..., Any],
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(
            lambda: self._blocking.enqueue(queue, workflow, *args, options=options, **kwargs)
        )

    async def enqueue_many(
        self,
        queue: str | QueueDefinition,
        workflow: str,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.enqueue_many, queue, workflow, arguments, options=options)
