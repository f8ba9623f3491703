"""Turns a call into a workflow row: arguments checked and written, the start committed, a handle returned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from durust.admission import COMMIT_SECONDS, Admission, demand_started
from durust.codec import UNTYPED, Encoded
from durust.debouncing import Debounced
from durust.decorators import Workflow
from durust.engine.current import CURRENT
from durust.engine.engine import Engine
from durust.engine.registry import Definition
from durust.errors import InvalidArgument
from durust.handle import WorkflowHandle
from durust.model.claims import Claimed
from durust.model.names import check_name
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition, check_fit
from durust.model.records import Lease
from durust.model.starts import queued
from durust.model.writes import Fenced, Outcome, Recorded, StartWorkflow

Named = str | Workflow[Any, Any]


class Starter:
    """Starts workflows on a running engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def definition(self, workflow: Named) -> Definition:
        """Return the definition of a workflow named by function or by name. Raises `WorkflowNotRegistered`."""
        activity = CURRENT.get()
        if activity is not None:
            raise InvalidArgument(
                "workflow",
                activity.run.workflow_id,
                "a running workflow starts another one in its body, by ctx.start_workflow or ctx.enqueue",
            )
        return self.known(workflow)

    def known(self, workflow: Named) -> Definition:
        """Return the definition of a workflow, whoever asks. Raises `WorkflowNotRegistered`, `InvalidArgument`."""
        if isinstance(workflow, str):
            return self._engine.registry.get(workflow)
        if isinstance(workflow, Debounced):
            raise InvalidArgument("workflow", workflow.workflow, "is debounced, so its calls are made one by one")
        if not isinstance(workflow, Workflow):
            raise InvalidArgument(
                "workflow", workflow, "must be a function decorated with @durust.workflow, or its name"
            )
        known = self._engine.registry.find(workflow.name)
        # Another engine may have registered other code by that name: adding it tells.
        return known if known is workflow.definition else self._engine.registry.add(workflow.definition)

    def encode(self, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Encoded:
        """Write arguments down. Raises `TypeError` when they do not fit the signature, `SerializationError`."""
        try:
            definition.shape.bind(args, kwargs)
        except TypeError as error:
            raise TypeError(f"workflow {definition.name!r}: {error}") from None
        return self._engine.runner.codec(definition).dump_arguments(definition.shape, args, kwargs)

    def queue_name(self, queue: str | QueueDefinition, options: Iterable[WorkflowOptions]) -> str:
        """Return the name of a queue that takes starts with *options*. Raises `QueueNotFound`, `InvalidArgument`."""
        name = queue.name if isinstance(queue, QueueDefinition) else check_name("queue", queue)
        known = self._engine.known_queue(name)
        for each in options:
            check_fit(known, each)
        return name

    def queued(
        self, definition: Definition, encoded: Encoded, options: WorkflowOptions, queue: str | None
    ) -> StartWorkflow:
        """Return the write that queues a workflow. Raises `NotAuthorized`."""
        definition.admit(options.authenticated_user, options.authenticated_roles)
        app_name = self._engine.settings.app_name
        return queued(definition.name, encoded.text, encoded.serialization, options, queue=queue, app_name=app_name)

    def enqueue(
        self, definition: Definition, writes: Sequence[StartWorkflow], options: Sequence[WorkflowOptions]
    ) -> list[WorkflowHandle[Any]]:
        """Commit queued starts and return their handles in order. Raises what the answer to a start says."""
        admission = Admission(self._engine.provider, self._engine.journal)
        return [self.handle(workflow_id, definition) for workflow_id in admission.admit(writes, options)]

    def debounce(
        self,
        asked: Debounced[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: WorkflowOptions,
        queue: str | None,
    ) -> WorkflowHandle[Any]:
        """Commit a debounced start and return the handle of the run that it leads to."""
        definition = self.definition(asked.workflow)
        encoded = self.encode(definition, args, kwargs)
        write = asked.write(self.queued(definition, encoded, options, queue), options)
        return self.handle(Admission(self._engine.provider, self._engine.journal).debounce(write), definition)

    def start_here(self, definition: Definition, encoded: Encoded, options: WorkflowOptions) -> WorkflowHandle[Any]:
        """Start a workflow in this process, in a slot that is taken already."""
        engine = self._engine
        write = self.queued(definition, encoded, options, None)
        lease = Lease(write.workflow_id, engine.executor_id, write.creator)
        direct = replace(write, app_version=self._engine.versions.of(definition), lease=lease)
        engine.runner.roster.reserve(lease.token)
        outcome: Outcome | None = None
        try:
            outcome = engine.journal.commit(direct, COMMIT_SECONDS)
        finally:
            if not isinstance(outcome, Recorded):
                engine.runner.roster.forget(lease.token)
                engine.slots.give_back(None)
        if isinstance(outcome, Fenced):
            # This executor is draining or was declared dead; another one, or its next incarnation, takes the work.
            return self.enqueue(definition, [write], [options])[0]
        demand_started(engine.provider.name, direct, outcome)
        if isinstance(outcome, Recorded):
            engine.start_run(self._claimed(direct, lease, outcome), definition)
        return self.handle(write.workflow_id, definition)

    @staticmethod
    def _claimed(write: StartWorkflow, lease: Lease, outcome: Recorded) -> Claimed:
        deadline_ms = write.deadline_ms
        if deadline_ms is None and write.timeout_ms is not None:
            deadline_ms = outcome.now_ms + write.timeout_ms
        return Claimed(
            lease=lease,
            name=write.name,
            inputs=write.inputs,
            serialization=write.serialization,
            attempts=1,
            queue=None,
            app_version=write.app_version,
            created_at_ms=outcome.now_ms,
            now_ms=outcome.now_ms,
            left_ms=None if deadline_ms is None else deadline_ms - outcome.now_ms,
            deadline_ms=deadline_ms,
            authenticated_user=write.authenticated_user,
            authenticated_roles=write.authenticated_roles,
            attributes=write.attributes,
        )

    def handle(self, workflow_id: str, definition: Definition | None, type_: Any = None) -> WorkflowHandle[Any]:
        """Return a handle whose result is rebuilt as *type_*, or as the workflow's annotation says."""
        declared = definition.shape.result if definition is not None else UNTYPED
        codec = self._engine.runner.codec(definition)
        return WorkflowHandle(workflow_id, self._engine, codec, declared if type_ is None else type_)
