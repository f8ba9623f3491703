"""What the contexts of both colours share: whose they are, and how a function becomes the task of a step."""

from __future__ import annotations

import functools
import inspect
import threading
from datetime import UTC, datetime, timedelta
from types import MethodType
from typing import Any

from durust.codec import UNTYPED, Codec, Shape
from durust.decorators import Step
from durust.engine.current import CURRENT, current_step
from durust.errors import InvalidArgument, NotInStep, NotInWorkflow
from durust.model.names import check_name
from durust.model.retry import StepOptions
from durust.nursery import Nursery
from durust.routines.run import Run
from durust.routines.steps import Task
from durust.run_log import RunLog
from durust.step_bodies import bounded, in_step, in_step_async

# Of how many functions it is kept what they are: more than a program has steps, so that each is looked into once.
FUNCTIONS_KEPT = 1024
_NO_OPTIONS = StepOptions()
_JSON = Codec()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BaseContext:
    """What both colours share: identity, and the making of tasks."""

    def __init__(self, run: Run, codec: Codec, nursery: Nursery) -> None:
        self._run = run
        self._codec = codec
        self._nursery = nursery
        # Of an async workflow it is the loop's own: asking for the running loop costs a system call on Python 3.11.
        self._thread = threading.get_ident()
        self._topics: set[str] = set()

    @property
    def workflow_id(self) -> str:
        """Return the id of this workflow."""
        return self._run.workflow_id

    @property
    def attempt(self) -> int:
        """Return how often this workflow was started, this time included; parks do not count."""
        return self._run.attempts

    @property
    def step_key(self) -> str:
        """Return the key of the step whose function asks: `current_step().key`. Raises `NotInStep` elsewhere."""
        status = current_step()
        if status is None:
            raise NotInStep("ctx.step_key")
        return status.key

    @functools.cached_property
    def log(self) -> RunLog:
        """Return the log of this run: the logger of the workflow's module, whose records get `workflow_id`.

        It is silent while the body repeats what an earlier execution did: as long as history holds an operation that
        the body has not come to yet. So a line is written once, unless nothing was recorded after it before its
        execution stopped; then the next one writes it again. In the function of a step it always writes.
        """
        return RunLog(self._nursery.logger(self._run), self._run)

    def _task(
        self,
        options: StepOptions | None,
        name: str,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        annotation: Any,
    ) -> Task:
        check_name("step name", name)
        if options is not None and not isinstance(options, StepOptions):
            raise InvalidArgument("options", options, "must be a StepOptions, as in StepOptions(max_retries=5)")
        chosen = options or _NO_OPTIONS
        if isinstance(fn, MethodType) and isinstance(fn.__func__, Step):
            fn, chosen = MethodType(fn.__func__.fn, fn.__self__), options or fn.__func__.options
        elif isinstance(fn, Step):
            fn, chosen = fn.fn, options or fn.options
        if not callable(fn):
            raise InvalidArgument(
                "fn", fn, "a step is a function; pass the function itself and its arguments, not its result"
            )
        if chosen.serializer is not None:
            codec = Codec(serializer=chosen.serializer, value_bytes_max=self._codec.value_bytes_max)
        else:
            codec = self._codec
        is_async, result_type = _traits(fn)
        chosen.demand_async(name, is_async=is_async)
        body = functools.partial(in_step_async if is_async else in_step, fn, args, kwargs)
        if (seconds := chosen.timeout_seconds) is not None:
            body = functools.partial(bounded, name, seconds, body)
        return Task(name, body, is_async, chosen, result_type if annotation is None else annotation, codec)

    def _drawn(self, name: str, kind: Any) -> Task:
        """Return the task of a drawn value, which is written as JSON whatever the workflow's own values are."""
        return Task(name, _nothing, is_async=False, options=_NO_OPTIONS, annotation=kind, codec=_JSON)

    def _ensure_here(self, asked: str) -> None:
        activity = CURRENT.get()
        is_mine = activity is not None and not activity.in_step and activity.run is self._run
        if not is_mine or threading.get_ident() != self._thread:
            raise NotInWorkflow(f"{asked} of workflow {self.workflow_id}")


def instant(at_ms: int) -> datetime:
    """Return the moment that the database's clock tells, in UTC."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def _nothing() -> None:
    """Stand for the body of what has none."""


def _traits(fn: Any) -> tuple[bool, Any]:
    """Return whether a function is async, and what its annotations say of its result."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if "return" not in getattr(fn, "__annotations__", ()):
        return inspect.iscoroutinefunction(fn), UNTYPED
    return _annotated_traits(getattr(fn, "__func__", fn))


@functools.lru_cache(maxsize=FUNCTIONS_KEPT)
def _annotated_traits(fn: Any) -> tuple[bool, Any]:
    return inspect.iscoroutinefunction(fn), Shape.of(fn, skip_first=False).result
