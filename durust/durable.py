"""The engine as its users see it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from durust.admission import NO_OPTIONS
from durust.codec import Codec
from durust.context import make_context
from durust.engine.engine import Engine
from durust.engine.loops import Loop, see_through
from durust.engine.registry import REGISTRY, Definition, Registry
from durust.engine.supervision import Supervision
from durust.engine.vitals import Vitals
from durust.errors import (
    InvalidArgument,
    NotLaunched,
)
from durust.handle import WorkflowHandle
from durust.model.filters import ListFilter
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition, check_fit
from durust.model.retry import duration_seconds
from durust.nursery import Nursery
from durust.registration import Registration
from durust.schedule_verbs import schedules_of
from durust.settings import Settings
from durust.shared_verbs import AsyncSharedVerbs, SharedVerbs
from durust.start_verbs import AsyncStartVerbs, StartVerbs
from durust.starter import Named, Starter
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider


class DurableEngine(SharedVerbs[Named], StartVerbs, Registration):
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

    # Inside

    def _footing(self, asked: str) -> Engine:
        return self._live(asked)

    def _run_of(self, workflow_id: str, workflow: str, type_: Any = None) -> WorkflowHandle[Any]:
        return Starter(self._live("retrieve_workflow")).handle(workflow_id, self._registry.find(workflow), type_)

    def _queue_for(self, queue: str | QueueDefinition, options: Sequence[WorkflowOptions]) -> str:
        return Starter(self._live("enqueue")).queue_name(queue, options)

    def _scheduled(self, workflow: Named) -> str:
        definition = Starter(self._live("create_schedule")).definition(workflow)
        definition.demand_tick()
        return definition.name

    def _own_versions(self) -> Mapping[str, str]:
        return dict(self._live("adopt_stranded").versions.workflows())

    def _declare(self, engine: Engine) -> None:
        """Bring the stored schedules to what the workflows say."""
        declared = [(one.name, one.schedule) for one in self._registry.definitions() if one.schedule is not None]
        for _, schedule in declared:
            if schedule.queue is not None:
                check_fit(engine.known_queue(schedule.queue), NO_OPTIONS)
        if declared:
            schedules_of(engine).declare(declared)

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

    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        definition = self._registry.find(workflow or "")
        return self._live("decode").runner.codec(definition), definition

    def _live(self, asked: str) -> Engine:
        if self._engine is None:
            raise NotLaunched(f"engine.{asked}")
        return self._engine


class AsyncDurableEngine(AsyncSharedVerbs[Named], AsyncStartVerbs):
    """The awaiting view of an engine. Entered with `async with`, async workflows run on the caller's loop."""

    _blocking: DurableEngine

    def __init__(self, engine: DurableEngine) -> None:
        self._blocking = engine

    async def __aenter__(self) -> Self:
        self._blocking._adopted = asyncio.get_running_loop()  # noqa: SLF001  the two views of one engine
        try:
            await see_through(self._blocking.launch)
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
            await see_through(lambda: self._blocking.close(drain_seconds))
        finally:
            self._blocking._adopted = None  # noqa: SLF001  the two views of one engine

    async def recover(self) -> list[WorkflowHandle[Any]]:
        """Resume, now, what processes of this host left behind that are gone, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.recover)
