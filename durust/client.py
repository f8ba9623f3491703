"""The client: durust for processes that run nothing themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, overload

from durust.admission import Admission, calls_of, checked, demand_started, one_by_one
from durust.archive_verbs import ArchiveVerbs, AsyncArchiveVerbs
from durust.archives import Archives
from durust.attribute_verbs import AsyncAttributeVerbs, AttributeVerbs
from durust.census_verbs import AsyncCensusVerbs, CensusVerbs
from durust.codec import UNTYPED, Codec
from durust.debouncing import Debounced
from durust.decorators import Workflow
from durust.delays import set_delay
from durust.engine.current import in_body
from durust.engine.journal import Journal
from durust.engine.outpost import Outpost
from durust.engine.registry import Definition
from durust.errors import InvalidArgument, WorkflowNotFound
from durust.fork_verbs import AsyncForkVerbs, ForkVerbs
from durust.forks import Forks
from durust.handle import WorkflowHandle
from durust.message_verbs import AsyncMessageVerbs, MessageVerbs
from durust.model.filters import ListFilter, Scope
from durust.model.message_writes import SendMessages
from durust.model.messages import Message
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition, check_fit
from durust.model.records import QueueRow, WorkflowRow
from durust.model.schedules import ScheduleDefinition
from durust.model.starts import queued
from durust.model.writes import Outcome, StartWorkflow
from durust.order_verbs import AsyncOrderVerbs, OrderVerbs
from durust.orders import Orders
from durust.post import Post, demand_sent
from durust.queue_verbs import AsyncQueueVerbs, QueueVerbs
from durust.queues import Queues
from durust.reader import Reader
from durust.reading_verbs import AsyncReadingVerbs, ReadingVerbs
from durust.schedule_verbs import AsyncScheduleVerbs, ScheduleVerbs
from durust.schedules import Schedule, Schedules
from durust.settings import Settings
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider


class DurableClient(
    AttributeVerbs,
    QueueVerbs,
    ScheduleVerbs,
    ReadingVerbs,
    CensusVerbs,
    MessageVerbs,
    ForkVerbs,
    OrderVerbs,
    ArchiveVerbs,
):
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
            write = self._queued(self._known(), queue, workflow.name, args, kwargs, chosen)
            return self._handle(self._admission().debounce(workflow.write(write, chosen)))
        write = self._queued(self._known(), queue, workflow, args, kwargs, chosen)
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

    def enqueue_in_transaction(
        self,
        connection: Any,
        queue: str | QueueDefinition,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        wake: bool = True,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue in the transaction that *connection* has open: it is there when that commits.

        *connection* is a psycopg 3 or sqlite3 connection to the client's database; SQLAlchemy lends it as
        `session.connection().connection.driver_connection`. Its owner commits: before that nobody sees the workflow,
        and a rollback takes it back. Where no transaction is open the driver begins one; in autocommit mode it would
        not, and that is refused. An error of durust leaves the transaction as it was, except that Postgres aborts one
        in which the schema is found missing. Who asks elsewhere for the same id meanwhile waits for the commit, so keep
        such transactions short.

        On Postgres the commit also tells idle workers, for which it takes a lock that all notifying commits of the
        database share; with `wake=False` they find the work by their poll. On SQLite they see each commit anyway; begin
        with `begin immediate`, because a transaction that has read first may be refused its first write; with a SQLite
        before 3.51.3 give the connection `pragma wal_autocheckpoint=0`, for the sake of a bug that durust avoids alike.

        Raises what `enqueue` raises, what the driver raises, `InvalidArgument` for a connection of another kind or with
        `on_duplicate="return"`, whose holder may be anybody's by the time of the commit.
        """
        # Only here: it brings the statements of both databases.
        from durust.storage import borrowed

        write = self._lent(queue, workflow, args, kwargs, checked(options))
        return self._started(write, borrowed.start(connection, write, wake=wake))

    def send_in_transaction(
        self,
        connection: Any,
        destination_id: str,
        message: Any,
        topic: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Send a message in the transaction that *connection* has open: it is there when that commits.

        What is said of the connection of `enqueue_in_transaction` holds here too. A waiting receiver is told with the
        commit; one whose wait is parked is found by the next sweep. Of messages of several open transactions the one
        that was sent first comes first, if it is committed by then.

        Raises `WorkflowNotFound`, which leaves the transaction as it was, what `send` raises, and what the driver does.
        """
        # Only here: it brings the statements of both databases.
        from durust.storage import borrowed

        demand_sent(borrowed.send(connection, self._lent_message(destination_id, message, topic, idempotency_key)))

    # Ordering

    def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs; whoever runs one stops at its next operation.

        With *children* also what it started, what these started, and so on; one that is just being started ends too.
        What has ended stays as it is. Return the ids of those that this ended. Raises `WorkflowNotFound` for one id
        that does not exist; of many it is passed by.
        """
        return Orders(self._outpost.provider, self._outpost.journal).cancel(workflow, children=children)

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

        It goes back to its queue, or to *queue*. What runs, is queued or has a result stays as it is. Raises
        `WorkflowNotFound` for one id that does not exist; of many it is passed by.
        """
        name = None if queue is None else _name_of(queue)
        rows = Orders(self._outpost.provider, self._outpost.journal).resume(workflow, name)
        handles = [self._handle(row.workflow_id) for row in rows]
        return handles[0] if isinstance(workflow, str) else handles

    # Reading

    def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`.

        Its result is rebuilt as *type*; without one it is plain JSON.
        """
        query = ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)])
        if not self._outpost.provider.workflows(query):
            raise WorkflowNotFound(workflow_id)
        return self._handle(workflow_id, type)

    def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first; by default those whose rows name this application."""
        scope = Scope(self._settings.app_name, ())
        return self._outpost.provider.workflows(query or ListFilter(scope=scope))

    def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, sooner or later than it was; 0 queues it at once.

        Raises `WorkflowNotFound`, and `InvalidArgument` for a workflow that is not delayed (a parked run waits for
        something else) or a delay that cannot be meant.
        """
        set_delay(self._outpost.journal, workflow_id, delay)

    # Schedules

    def create_schedule(
        self,
        name: str,
        workflow: str,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | QueueDefinition | None = None,
    ) -> Schedule:
        """Store a schedule that starts *workflow* with a `ScheduledInput`, from its next tick on.

        The options are those of `engine.create_schedule`; nobody needs to know the workflow or the queue yet. Raises
        `ScheduleConflict` for a name that is taken, `InvalidArgument`, `SerializationError` for a context that JSON
        cannot carry exactly.
        """
        planned = ScheduleDefinition(
            cron=cron,
            timezone=timezone,
            catch_up=catch_up,
            overlap=overlap,
            queue=None if queue is None else _name_of(queue),
        )
        schedules = self._schedules_of("create_schedule")
        return schedules.create(name, check_name("workflow", workflow), planned, context)

    # Inside

    def _schedules_of(self, asked: str) -> Schedules:
        del asked
        provider, scope = self._outpost.provider, Scope(self._settings.app_name, ())
        return Schedules(provider, scope, self._settings.value_bytes_max, provider.announce)

    def _run_of(self, workflow_id: str, workflow: str) -> WorkflowHandle[Any]:
        del workflow
        return self._handle(workflow_id)

    def _forks_of(self, asked: str) -> Forks:
        del asked
        return Forks(self._outpost.provider, self._outpost.journal)

    def _archives_of(self, asked: str) -> Archives:
        del asked
        return Archives(self._outpost.provider, self._outpost.journal)

    def _orders_of(self, asked: str) -> tuple[Orders, Scope]:
        del asked
        return Orders(self._outpost.provider, self._outpost.journal), Scope(self._settings.app_name, ())

    def _fitting_queue(self, queue: str | QueueDefinition, options: WorkflowOptions) -> str:
        name = _name_of(queue)
        check_fit(self._known().get(name), options)
        return name

    def _queued(
        self,
        known: dict[str, QueueRow],
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
        check_fit(known.get(on), options)
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

    def _post_of(self, asked: str) -> Post:
        del asked
        return Post(self._outpost.provider, self._outpost.journal, self._codec)

    def _reader_of(self, asked: str) -> Reader:
        del asked
        return Reader(self._outpost, self._codec)

    def _read_from(self, asked: str) -> tuple[StateProvider, Scope]:
        del asked
        return self._outpost.provider, Scope(self._settings.app_name, ())

    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        del workflow
        return self._codec, None

    def _commit_by(self, asked: str) -> Journal:
        del asked
        return self._outpost.journal

    def _queues_of(self, asked: str) -> Queues:
        del asked
        return Queues(self._outpost.provider, self._settings.app_name)

    def _lent(
        self,
        queue: str | QueueDefinition,
        workflow: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: WorkflowOptions,
    ) -> StartWorkflow:
        if options.on_duplicate == "return":
            raise InvalidArgument(
                "on_duplicate", options.on_duplicate, "has no promise to give inside a transaction: use 'raise' there"
            )
        return self._queued(self._known(), queue, workflow, args, kwargs, options)

    def _lent_message(
        self, destination_id: str, message: Any, topic: str | None, idempotency_key: str | None
    ) -> SendMessages:
        return SendMessages(
            self._post_of("send_in_transaction").letters([Message(destination_id, message, topic, idempotency_key)])
        )

    def _started(self, write: StartWorkflow, outcome: Outcome) -> WorkflowHandle[Any]:
        demand_started("the caller's connection", write, outcome)
        return self._handle(write.workflow_id)

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


class AsyncDurableClient(
    AsyncAttributeVerbs,
    AsyncQueueVerbs,
    AsyncScheduleVerbs,
    AsyncReadingVerbs,
    AsyncCensusVerbs,
    AsyncMessageVerbs,
    AsyncForkVerbs,
    AsyncArchiveVerbs,
    AsyncOrderVerbs,
):
    """The awaiting view of a client; with `async with` it is closed at the end."""

    def __init__(self, client: DurableClient) -> None:
        self._client = self._blocking = self._scheduling = self._reading = client
        self._sending = self._census = self._marking = client
        self._forking = self._ordering = self._archiving = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the client, as the blocking twin does."""
        await asyncio.to_thread(self._client.close)

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
        return await asyncio.to_thread(lambda: self._client.enqueue(queue, workflow, *args, options=options, **kwargs))

    async def enqueue_many(
        self,
        queue: str | QueueDefinition,
        workflow: str,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(self._client.enqueue_many, queue, workflow, arguments, options=options)

    async def enqueue_in_transaction(
        self,
        connection: Any,
        queue: str | QueueDefinition,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        wake: bool = True,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue in the transaction of a `psycopg.AsyncConnection`, as the blocking twin does.

        A connection that blocks is taken too, and blocks the loop for as long as its statements take.
        """
        from durust.storage import borrowed

        client = self._client
        # In a thread, because it reads the stored queues.
        write = await asyncio.to_thread(client._lent, queue, workflow, args, kwargs, checked(options))  # noqa: SLF001  the two views of one client
        return client._started(write, await borrowed.astart(connection, write, wake=wake))  # noqa: SLF001  as above

    async def send_in_transaction(
        self,
        connection: Any,
        destination_id: str,
        message: Any,
        topic: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Send a message in the transaction of a `psycopg.AsyncConnection`, as the blocking twin does.

        A connection that blocks is taken too, and blocks the loop for as long as its statements take.
        """
        from durust.storage import borrowed

        lend = self._client._lent_message  # noqa: SLF001  the two views of one client
        # In a thread, because it may open the database.
        write = await asyncio.to_thread(lend, destination_id, message, topic, idempotency_key)
        demand_sent(await borrowed.asend(connection, write))

    async def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs, as the blocking twin does."""
        return await asyncio.to_thread(self._client.cancel_workflow, workflow, children=children)

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
        return await asyncio.to_thread(lambda: self._client.resume_workflow(workflow, queue=queue))

    async def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`."""
        return await asyncio.to_thread(lambda: self._client.retrieve_workflow(workflow_id, type=type))

    async def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first."""
        return await asyncio.to_thread(self._client.list_workflows, query)

    async def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, as the blocking twin does."""
        await asyncio.to_thread(self._client.set_delay, workflow_id, delay)

    async def create_schedule(
        self,
        name: str,
        workflow: str,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | QueueDefinition | None = None,
    ) -> Schedule:
        """Store a schedule, as the blocking twin does."""
        options = {"timezone": timezone, "context": context, "catch_up": catch_up, "overlap": overlap, "queue": queue}
        return await asyncio.to_thread(lambda: self._client.create_schedule(name, workflow, cron, **options))
