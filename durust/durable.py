"""The engine as its users see it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from durust.admission import NO_OPTIONS, calls_of, checked, one_by_one
from durust.archive_verbs import ArchiveVerbs, AsyncArchiveVerbs
from durust.archives import Archives
from durust.attribute_verbs import AsyncAttributeVerbs, AttributeVerbs
from durust.census_verbs import AsyncCensusVerbs, CensusVerbs
from durust.codec import Codec
from durust.context import make_context
from durust.debouncing import Debounced, Startable
from durust.decorators import Workflow, scheduled
from durust.delays import set_delay
from durust.engine.engine import Engine
from durust.engine.journal import Journal
from durust.engine.loops import Loop, see_through
from durust.engine.registry import MAX_RECOVERY_ATTEMPTS_DEFAULT, REGISTRY, Definition, Registry
from durust.engine.retention import purge_in_batches
from durust.engine.supervision import Supervision
from durust.engine.versions import adopt_stranded, latest_version, list_stranded, list_versions, set_latest_version
from durust.engine.vitals import Vitals
from durust.errors import (
    InvalidArgument,
    NotLaunched,
    WorkflowNotFound,
)
from durust.fork_verbs import AsyncForkVerbs, ForkVerbs
from durust.forks import Forks
from durust.handle import WorkflowHandle, ensure_no_loop
from durust.message_verbs import AsyncMessageVerbs, MessageVerbs
from durust.model.filters import ListFilter, PurgeRequest, Scope
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition, check_fit
from durust.model.records import Purged, VersionRow, WorkflowRow
from durust.model.retry import duration_seconds
from durust.model.schedules import ScheduleDefinition
from durust.nursery import Nursery
from durust.order_verbs import AsyncOrderVerbs, OrderVerbs
from durust.orders import Orders
from durust.post import Post
from durust.queue import WorkflowQueue
from durust.queue_verbs import AsyncQueueVerbs, QueueVerbs
from durust.queues import Queues
from durust.reader import Reader
from durust.reading_verbs import AsyncReadingVerbs, ReadingVerbs
from durust.schedule_verbs import AsyncScheduleVerbs, ScheduleVerbs
from durust.schedules import Schedule, Schedules
from durust.settings import Settings
from durust.starter import Named, Starter
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider
from durust.telemetry import logger

P = ParamSpec("P")
R = TypeVar("R")


class DurableEngine(
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
    """Runs workflows on a database and answers questions about them.

    *database* is a URL or a provider; without one, `$DURUST_DATABASE_URL`, `$DATABASE_URL`, then the file
    `durust.db` in the current folder. A provider that is passed in is its owner's to close. Making an engine touches
    nothing; `launch()` does, or `with`. With `migrate=False` the schema must be there already. The other arguments
    override `Settings`.

    Raises `InvalidArgument` for a URL or a setting that cannot be meant.
    """

    def __init__(
        self,
        database: str | StateProvider | None = None,
        *,
        settings: Settings | None = None,
        app_name: str | None = None,
        app_version: str | None = None,
        slots: int | None = None,
        serializer: str | None = None,
        queues: Sequence[str] | None = None,
        migrate: bool = True,
        supervision: Supervision | None = None,
    ) -> None:
        self._database = database
        self._settings = settings or Settings.load(
            app_name=app_name, app_version=app_version, slots=slots, serializer=serializer
        )
        if isinstance(queues, str):
            raise InvalidArgument("queues", queues, "must be a sequence of names, as in ['emails']")
        self._queues = tuple(queues) if queues is not None else None
        self._migrates = migrate
        self._supervision = supervision
        self._registry = Registry(REGISTRY)
        self._engine: Engine | None = None
        self._adopted: asyncio.AbstractEventLoop | None = None
        self._mutex = threading.Lock()

    # Registration

    def register(
        self,
        name: str,
        fn: Callable[..., Any] | Workflow[Any, Any],
        *,
        max_recovery_attempts: int | None = None,
        serializer: str | None = None,
        schedule: str | None = None,
        timezone: str | None = None,
        catch_up: bool | None = None,
        overlap: str | None = None,
        queue: str | None = None,
        required_roles: Sequence[str] | None = None,
    ) -> Workflow[Any, Any]:
        """Register a workflow by hand, for this engine only.

        Options and errors are those of `durust.workflow`; a decorated one keeps its options where no others are given,
        but not its schedule, which belongs to its own name.
        """
        planned = scheduled(schedule, timezone=timezone, catch_up=catch_up, overlap=overlap, queue=queue)
        attempts = MAX_RECOVERY_ATTEMPTS_DEFAULT if max_recovery_attempts is None else max_recovery_attempts
        if isinstance(fn, Workflow):
            attempts = fn.definition.max_recovery_attempts if max_recovery_attempts is None else attempts
            serializer = serializer or fn.definition.serializer
            required_roles = fn.definition.required_roles if required_roles is None else required_roles
            fn = fn.fn
        return Workflow(self._registry.add(Definition(name, fn, attempts, serializer, planned, required_roles or ())))

    def register_queue(self, queue: WorkflowQueue) -> WorkflowQueue:
        """Declare a queue for this engine."""
        self._registry.add_queue(queue)
        return queue

    def workflow_names(self) -> list[str]:
        """Return the names of the workflows that this engine knows."""
        return self._registry.names()

    @property
    def settings(self) -> Settings:
        """Return the engine's settings."""
        return self._settings

    @property
    def database(self) -> str | StateProvider | None:
        """Return the URL or the provider that the engine was made with; None when the environment is to say it."""
        return self._database

    # Life

    def launch(self) -> None:
        """Open the database, bring its schema up, resume what a crash left, and start taking work.

        Raises `ProviderUnavailable` when the database does not answer, `SchemaMismatch` when it does not fit,
        `QueueNotFound` for a queue to serve that is neither declared nor stored. Launching twice does nothing.
        """
        with self._mutex:
            if self._engine is not None:
                return
            provider = open_provider(self._database, app_name=self._settings.app_name)
            owns_provider = provider is not self._database
            try:
                if self._migrates:
                    provider.migrate()
                else:
                    provider.check()
                engine = self._assemble(provider, owns_provider=owns_provider)
            except BaseException:
                if owns_provider:
                    provider.close()
                raise
            try:
                engine.start()
                self._declare(engine)
                if self._supervision is None:
                    engine.recover()
                if self._supervision is None or self._supervision.is_spokesman:
                    # What was recovered a moment ago may be of another version too.
                    engine.warn_of_stranded()
            except BaseException:
                engine.close(0, "its launch failed")
                raise
            self._engine = engine

    def close(self, drain_seconds: float | timedelta | None = None) -> None:
        """Stop taking work, wait at most *drain_seconds* for what runs, hand back the rest, and close the database.

        Raises `InvalidArgument`, with nothing done, for a duration that cannot be meant.
        """
        chosen = self._settings.drain_seconds if drain_seconds is None else drain_seconds
        seconds = duration_seconds("drain_seconds", chosen)
        with self._mutex:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close(seconds, "closed")

    def drain(self, timeout_seconds: float | timedelta) -> bool:
        """Stop taking work and let what runs finish or park; True when nothing had to be handed back."""
        return self._live("drain").drain(duration_seconds("timeout_seconds", timeout_seconds))

    def supervise(
        self, supervision: Supervision, *, database: str | None = None, settings: Settings | None = None
    ) -> None:
        """Hand an engine that was not launched yet to a supervisor.

        Raises `InvalidArgument` for one that was: it has an executor of its own, which the supervisor knows nothing of.
        """
        if self._engine is not None:
            raise InvalidArgument(
                "engine",
                self,
                'was launched already; a worker does that, so write it below `if __name__ == "__main__":`',
            )
        self._supervision = supervision
        self._migrates = False
        if database is not None:
            self._database = database
        if settings is not None:
            self._settings = settings

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever presses Ctrl-C wants an end, and what is handed back is not lost.
        self.close(0 if isinstance(error, KeyboardInterrupt) else None)

    @property
    def executor_id(self) -> str:
        """Return the id of this engine's executor."""
        return self._live("executor_id").executor_id

    @property
    def fenced(self) -> threading.Event:
        """Return the event that is set when a supervised executor was declared dead."""
        return self._live("fenced").fenced

    def vitals(self) -> Vitals:
        """Return how the engine is doing."""
        return self._live("vitals").vitals()

    @property
    def aio(self) -> AsyncDurableEngine:
        """Return the awaiting view of this engine."""
        return AsyncDurableEngine(self)

    # Starting workflows

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

    # Management

    def recover(self) -> list[WorkflowHandle[Any]]:
        """Resume, now, what processes of this host left behind that are gone; return the handles.

        What ran on another host is resumed when its lease ends.
        """
        engine = self._live("recover")
        starter = Starter(engine)
        ids = engine.recover()
        # An empty list of ids would match none, and it is not worth a question.
        rows = engine.provider.workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
        names = {row.workflow_id: row.name for row in rows}
        return [starter.handle(workflow_id, self._registry.find(names.get(workflow_id, ""))) for workflow_id in ids]

    def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs; with *children* also what it started, and so on.

        What is queued or waits never runs. What runs records nothing any more and stops at its next operation, an async
        workflow also within a step or a wait. What has ended stays as it is, and with *children* those that it started
        end all the same; a child that is just being started ends too. Return the ids of those that this ended.
        Raises `WorkflowNotFound` for one id that does not exist; of many it is passed by.
        """
        engine = self._live("cancel_workflow")
        return Orders(engine.provider, engine.journal).cancel(workflow, children=children)

    @overload
    def resume_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self, workflow: str, *, queue: str | WorkflowQueue | None = None
    ) -> WorkflowHandle[Any]: ...
    @overload
    def resume_workflow(
        self, workflow: Iterable[str], *, queue: str | WorkflowQueue | None = None
    ) -> list[WorkflowHandle[Any]]: ...
    def resume_workflow(
        self, workflow: str | Iterable[str], *, queue: str | WorkflowQueue | None = None
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Let a workflow that was cancelled or set aside go on behind its last step; return its handle, or all handles.

        It goes back to its queue, or to *queue*, with its attempts and its deadline forgotten; a timeout counts anew
        from its next start. A delayed one is queued before its time. What runs, is queued or has a result stays as it
        is.
        Raises `QueueNotFound`, and `WorkflowNotFound` for one id that does not exist; of many it is passed by.
        """
        engine = self._live("resume_workflow")
        starter = Starter(engine)
        name = None if queue is None else starter.queue_name(queue, [])
        rows = Orders(engine.provider, engine.journal).resume(workflow, name)
        handles = [starter.handle(row.workflow_id, self._registry.find(row.name)) for row in rows]
        return handles[0] if isinstance(workflow, str) else handles

    def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`.

        The result is rebuilt as the workflow's annotation says where it is registered here, or as *type*.
        """
        engine = self._live("retrieve_workflow")
        rows = engine.provider.workflows(ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)]))
        if not rows:
            raise WorkflowNotFound(workflow_id)
        return Starter(engine).handle(workflow_id, self._registry.find(rows[0].name), type)

    def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first; by default those of this application.

        Rows that name no application belong to whoever has registered their workflow.
        """
        scope = Scope(self._settings.app_name, tuple(self._registry.names()))
        return self._live("list_workflows").provider.workflows(query or ListFilter(scope=scope))

    def list_versions(self) -> list[VersionRow]:
        """List the registered versions of this application, the latest first.

        A new version is the latest when an engine of it launches for the first time, and again when it is promoted.
        """
        return list_versions(self._live("list_versions").provider, self._settings.app_name)

    def latest_version(self) -> VersionRow | None:
        """Return the version of this application that was promoted last.

        It tells people and tools what to go on with, and gates nothing: an executor takes work of its own version and
        work without one, whether it is the latest or not.
        """
        return latest_version(self._live("latest_version").provider, self._settings.app_name)

    def set_latest_version(self, name: str) -> None:
        """Promote a registered version, as after a deploy that was taken back. Raises `VersionNotFound`."""
        set_latest_version(self._live("set_latest_version").provider, self._settings.app_name, name)

    def list_stranded(self) -> list[WorkflowRow]:
        """List unfinished workflows that wait for a version of their code which no living executor has."""
        engine = self._live("list_stranded")
        return list_stranded(engine.provider, engine.scope())

    def adopt_stranded(self, ids: Sequence[str] | None = None) -> list[WorkflowHandle[Any]]:
        """Let this engine's code go on with stranded workflows, with *ids* only with these; return their handles.

        Their histories were written by other code. Where this code asks for other steps, such a run ends with
        `StepDiverged`; `ctx.patch` tells the two apart. A workflow whose name is not registered here stays as it is,
        and a line of the log says so.

        Raises `WorkflowNotFound` for an id that is not there.
        """
        engine = self._live("adopt_stranded")
        adoption = adopt_stranded(engine.provider, engine.scope(), dict(engine.versions.workflows()), ids)
        if adoption.left:
            names = ", ".join(sorted({row.name for row in adoption.left}))
            logger.warning("stranded workflows that cannot be adopted here, where nobody registered them: %s", names)
        engine.claimer.wake()
        starter = Starter(engine)
        return [starter.handle(row.workflow_id, self._registry.find(row.name)) for row in adoption.adopted]

    def purge(
        self, *, older_than: float | timedelta | None = None, keep: int | None = None, includes_exceeded: bool = False
    ) -> Purged:
        """Remove ended workflows of this application with all that belongs to them, and return how many.

        One goes when it ended longer ago than *older_than*, or when *keep* others ended later; of both the one that
        removes more decides. What has not ended stays, a child whose parent has not, and whatever somebody waits for.
        Those that were set aside after too many attempts go only with *includes_exceeded*. It is done in small batches;
        `more` of the answer tells of a bound that left some for the next call.

        Raises `InvalidArgument` when neither *older_than* nor *keep* is given.
        """
        engine = self._live("purge")
        if older_than is None and keep is None:
            raise InvalidArgument("older_than", older_than, "say how old, or how many to keep")
        request = PurgeRequest(
            scope=engine.scope(),
            ended_before_seconds=None if older_than is None else duration_seconds("older_than", older_than),
            keep_newest=keep,
            includes_exceeded=includes_exceeded,
        )
        return purge_in_batches(engine.provider, request)

    def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, sooner or later than it was; 0 queues it at once.

        Raises `WorkflowNotFound`, and `InvalidArgument` for a workflow that is not delayed (a parked run waits for
        something else) or a delay that cannot be meant.
        """
        set_delay(self._live("set_delay").journal, workflow_id, delay)

    # Schedules

    def create_schedule(
        self,
        name: str,
        workflow: Named,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | WorkflowQueue | None = None,
    ) -> Schedule:
        """Store a schedule that starts *workflow* with a `ScheduledInput`, from its next tick on.

        *cron* has six fields, the second first; *timezone* is an IANA name; *context* is handed to each run. The other
        options are those of `durust.workflow`. Raises `ScheduleConflict` for a name that is taken, `InvalidArgument`,
        `WorkflowNotRegistered`, `QueueNotFound`, `SerializationError` for a context that JSON cannot carry exactly.
        """
        engine = self._live("create_schedule")
        starter = Starter(engine)
        definition = starter.definition(workflow)
        definition.demand_tick()
        planned = ScheduleDefinition(
            cron=cron,
            timezone=timezone,
            catch_up=catch_up,
            overlap=overlap,
            queue=None if queue is None else starter.queue_name(queue, [NO_OPTIONS]),
        )
        return self._schedules(engine).create(name, definition.name, planned, context)

    # Inside

    def _schedules_of(self, asked: str) -> Schedules:
        return self._schedules(self._live(asked))

    def _run_of(self, workflow_id: str, workflow: str) -> WorkflowHandle[Any]:
        return Starter(self._live("schedules")).handle(workflow_id, self._registry.find(workflow))

    def _forks_of(self, asked: str) -> Forks:
        engine = self._live(asked)
        return Forks(engine.provider, engine.journal)

    def _archives_of(self, asked: str) -> Archives:
        engine = self._live(asked)
        return Archives(engine.provider, engine.journal)

    def _orders_of(self, asked: str) -> tuple[Orders, Scope]:
        engine = self._live(asked)
        return Orders(engine.provider, engine.journal), engine.scope()

    def _fitting_queue(self, queue: str | QueueDefinition, options: WorkflowOptions) -> str:
        name = queue.name if isinstance(queue, QueueDefinition) else queue
        return Starter(self._live("fork_workflow")).queue_name(name, [options])

    def _declare(self, engine: Engine) -> None:
        """Bring the stored schedules to what the workflows say."""
        declared = [(one.name, one.schedule) for one in self._registry.definitions() if one.schedule is not None]
        for _, schedule in declared:
            if schedule.queue is not None:
                check_fit(engine.known_queue(schedule.queue), NO_OPTIONS)
        if declared:
            self._schedules(engine).declare(declared)

    @staticmethod
    def _schedules(engine: Engine) -> Schedules:
        return Schedules(engine.provider, engine.scope(), engine.settings.value_bytes_max, engine.tell)

    def _assemble(self, provider: StateProvider, *, owns_provider: bool) -> Engine:
        nursery = Nursery()
        nursery.engine = Engine(
            provider=provider,
            settings=self._settings,
            registry=self._registry,
            loop=Loop(self._adopted),
            contexts=partial(make_context, nursery=nursery),
            supervision=self._supervision,
            queues=self._queues,
            owns_provider=owns_provider,
        )
        return nursery.engine

    def _read_from(self, asked: str) -> tuple[StateProvider, Scope]:
        engine = self._live(asked)
        return engine.provider, engine.scope()

    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        definition = self._registry.find(workflow or "")
        return self._live("decode").runner.codec(definition), definition

    def _commit_by(self, asked: str) -> Journal:
        return self._live(asked).journal

    def _queues_of(self, asked: str) -> Queues:
        return Queues(self._live(asked).provider, self._settings.app_name)

    def _reader_of(self, asked: str) -> Reader:
        return Reader(self._live(asked), self._plain_codec())

    def _post_of(self, asked: str) -> Post:
        engine = self._live(asked)
        return Post(engine.provider, engine.journal, self._plain_codec())

    def _plain_codec(self) -> Codec:
        return Codec(self._settings.serializer, self._settings.value_bytes_max)

    def _live(self, asked: str) -> Engine:
        if self._engine is None:
            raise NotLaunched(f"engine.{asked}")
        return self._engine


class AsyncDurableEngine(
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
    """The awaiting view of an engine. Entered with `async with`, async workflows run on the caller's loop."""

    def __init__(self, engine: DurableEngine) -> None:
        self._engine = self._blocking = self._scheduling = self._reading = engine
        self._sending = self._census = self._marking = engine
        self._forking = self._ordering = self._archiving = engine

    async def __aenter__(self) -> Self:
        self._engine._adopted = asyncio.get_running_loop()  # noqa: SLF001  the two views of one engine
        try:
            await see_through(self._engine.launch)
        except BaseException:
            # A launch that nobody waits for any more may have succeeded, and then nobody would ever close the engine.
            await self.close(0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, drain_seconds: float | timedelta | None = None) -> None:
        """Stop and close the engine, as the blocking twin does."""
        try:
            await see_through(lambda: self._engine.close(drain_seconds))
        finally:
            self._engine._adopted = None  # noqa: SLF001  the two views of one engine

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
        return await asyncio.to_thread(lambda: self._engine.run_workflow(workflow, *args, **kwargs))

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
        return await asyncio.to_thread(lambda: self._engine.enqueue(queue, workflow, *args, **kwargs))

    async def enqueue_many(
        self,
        queue: str | WorkflowQueue,
        workflow: Named,
        arguments: Iterable[tuple[Any, ...]],
        *,
        options: Iterable[WorkflowOptions] | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Put many runs of one workflow on a queue, as the blocking twin does."""
        return await asyncio.to_thread(self._engine.enqueue_many, queue, workflow, arguments, options=options)

    async def recover(self) -> list[WorkflowHandle[Any]]:
        """Resume, now, what processes of this host left behind that are gone, as the blocking twin does."""
        return await asyncio.to_thread(self._engine.recover)

    async def cancel_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Cancel a workflow by its id, or many by theirs, as the blocking twin does."""
        return await asyncio.to_thread(self._engine.cancel_workflow, workflow, children=children)

    @overload
    async def resume_workflow(  # type: ignore[overload-overlap]  # a text comes first
        self, workflow: str, *, queue: str | WorkflowQueue | None = None
    ) -> WorkflowHandle[Any]: ...
    @overload
    async def resume_workflow(
        self, workflow: Iterable[str], *, queue: str | WorkflowQueue | None = None
    ) -> list[WorkflowHandle[Any]]: ...
    async def resume_workflow(
        self, workflow: str | Iterable[str], *, queue: str | WorkflowQueue | None = None
    ) -> WorkflowHandle[Any] | list[WorkflowHandle[Any]]:
        """Let a workflow that was cancelled or set aside go on, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._engine.resume_workflow(workflow, queue=queue))

    async def retrieve_workflow(self, workflow_id: str, *, type: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to an existing workflow. Raises `WorkflowNotFound`."""
        return await asyncio.to_thread(lambda: self._engine.retrieve_workflow(workflow_id, type=type))

    async def list_workflows(self, query: ListFilter | None = None) -> list[WorkflowRow]:
        """List workflows, oldest first."""
        return await asyncio.to_thread(self._engine.list_workflows, query)

    async def list_versions(self) -> list[VersionRow]:
        """List the registered versions of this application, the latest first."""
        return await asyncio.to_thread(self._engine.list_versions)

    async def latest_version(self) -> VersionRow | None:
        """Return the version of this application that was promoted last, as the blocking twin does."""
        return await asyncio.to_thread(self._engine.latest_version)

    async def set_latest_version(self, name: str) -> None:
        """Promote a registered version. Raises `VersionNotFound`."""
        await asyncio.to_thread(self._engine.set_latest_version, name)

    async def list_stranded(self) -> list[WorkflowRow]:
        """List unfinished workflows that wait for a version of their code which no living executor has."""
        return await asyncio.to_thread(self._engine.list_stranded)

    async def adopt_stranded(self, ids: Sequence[str] | None = None) -> list[WorkflowHandle[Any]]:
        """Let this engine's code go on with stranded workflows, as the blocking twin does."""
        return await asyncio.to_thread(self._engine.adopt_stranded, ids)

    async def purge(
        self, *, older_than: float | timedelta | None = None, keep: int | None = None, includes_exceeded: bool = False
    ) -> Purged:
        """Remove ended workflows of this application, as the blocking twin does."""
        return await asyncio.to_thread(
            self._engine.purge, older_than=older_than, keep=keep, includes_exceeded=includes_exceeded
        )

    async def set_delay(self, workflow_id: str, delay: float | timedelta) -> None:
        """Let a delayed workflow be due *delay* from now, as the blocking twin does."""
        await asyncio.to_thread(self._engine.set_delay, workflow_id, delay)

    async def create_schedule(
        self,
        name: str,
        workflow: Named,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | WorkflowQueue | None = None,
    ) -> Schedule:
        """Store a schedule, as the blocking twin does."""
        options = {"timezone": timezone, "context": context, "catch_up": catch_up, "overlap": overlap, "queue": queue}
        return await asyncio.to_thread(lambda: self._engine.create_schedule(name, workflow, cron, **options))
