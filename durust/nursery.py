"""Where the children of running workflows come from: a call is checked, written down and given its parent's traits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from durust.admission import checked
from durust.codec import Codec
from durust.debouncing import Debounced
from durust.engine.engine import Engine
from durust.engine.registry import Definition
from durust.errors import InvalidArgument, NotLaunched
from durust.model.options import WorkflowOptions
from durust.model.queues import check_fit
from durust.model.writes import INTERNAL_QUEUE, StartWorkflow
from durust.routines.children import Birth
from durust.routines.run import Run
from durust.starter import Named, Starter


@dataclass(frozen=True, slots=True)
class Calling:
    """A call of a workflow out of the body of *run*, checked and written down."""

    engine: Engine
    run: Run
    definition: Definition
    start: StartWorkflow
    options: WorkflowOptions

    def birth(self, place: int) -> Birth:
        """Return what the run starts at *place*: its id is made of its parent's and the place, unless one was given."""
        workflow_id = self.options.workflow_id or f"{self.run.workflow_id}-{place}"
        start = replace(self.start, workflow_id=workflow_id)
        return Birth(start, attaches=self.options.on_duplicate == "return", check=self._check())

    def reading(self) -> tuple[Codec, Any]:
        """Return how its result is read, and as what."""
        return self.engine.runner.codec(self.definition), self.definition.shape.result

    def _check(self) -> Callable[[], None] | None:
        """Return what asks the database whether the queue is there; None where that is known already."""
        queue = self.start.queue
        if queue in {None, INTERNAL_QUEUE} or queue in self.engine.registry.queues():
            return None
        return partial(_demand_queue, self.engine, queue, self.options)


class Nursery:
    """Makes the children of the workflows that run on one engine, which is set once it is assembled."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """Return the engine."""
        if self._engine is None:
            raise NotLaunched("ctx.start_workflow")
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    def call(
        self, run: Run, workflow: Named, args: tuple[Any, ...], kwargs: dict[str, Any], queue: str | None
    ) -> Calling:
        """Check a call, whose options are among *kwargs*, and write it down. Raises what a start raises.

        The child has to end before its parent has to, and runs for the same user, unless its own options say
        otherwise; its place in a queue is its own.
        """
        asked = checked(kwargs.pop("options", None))
        if isinstance(workflow, Debounced):
            raise InvalidArgument("workflow", workflow.name, "is debounced, which no running workflow starts")
        for name in ("partition_key", "dedup_id") if queue is None else ():
            if getattr(asked, name) is not None:
                raise InvalidArgument(name, getattr(asked, name), "belongs to a queue; use ctx.enqueue")
        options = replace(
            asked,
            authenticated_user=asked.authenticated_user or run.authenticated_user,
            authenticated_roles=asked.authenticated_roles or run.authenticated_roles,
        )
        starter = Starter(self.engine)
        definition = starter.known(workflow)
        check_fit(self.engine.registry.queues().get(queue or ""), options)
        queued = starter.queued(definition, starter.encode(definition, args, kwargs), options, queue)
        limits = (queued.deadline_ms, run.deadline_ms if options.inherits_deadline else None)
        deadline_ms = min((limit for limit in limits if limit is not None), default=None)
        return Calling(
            self.engine, run, definition, replace(queued, parent_id=run.workflow_id, deadline_ms=deadline_ms), options
        )

    def logger(self, run: Run) -> logging.Logger:
        """Return the logger of the module in which a run's workflow stands."""
        definition = None if self._engine is None else self._engine.registry.find(run.name)
        return logging.getLogger("durust" if definition is None else definition.fn.__module__)

    def codec(self) -> Codec:
        """Return how results of workflows are read of which nothing but an id is known."""
        return self.engine.runner.codec(None)


def _demand_queue(engine: Engine, queue: str, options: WorkflowOptions) -> None:
    check_fit(engine.known_queue(queue), options)
