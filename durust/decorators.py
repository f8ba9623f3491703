"""How functions become workflows and steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from durust.engine.current import CURRENT, in_body
from durust.engine.registry import MAX_RECOVERY_ATTEMPTS_DEFAULT, REGISTRY, Definition
from durust.errors import InvalidArgument
from durust.model.names import check_name
from durust.model.retry import StepOptions
from durust.model.schedules import ScheduleDefinition

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A registered workflow with its result type, whichever colour it has.

    It is started through an engine; `.fn` is the plain function, for unit tests.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.fn: Callable[..., Any] = definition.fn
        functools.update_wrapper(self, definition.fn)

    @property
    def name(self) -> str:
        """Return the name that stands in the database."""
        return self.definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Start a child and return its result, in the body of a workflow: to be awaited in an `async def` one.

        Elsewhere a plain call would run without a record of anything, so it is refused. Raises `TypeError`.
        """
        activity = CURRENT.get()
        if activity is None:
            raise TypeError(
                f"workflow {self.name!r} is not called directly: use engine.start({self.fn.__name__}, ...), "
                f"or {self.fn.__name__}.fn(...) in a unit test"
            )
        if activity.in_step:
            raise TypeError(
                f"workflow {self.name!r} is called in a step, which would start it again when it runs again: "
                f"call it in the workflow's body"
            )
        return activity.context._call_workflow(self, args, kwargs)  # noqa: SLF001  the two halves of one call


class Step(Generic[P, R]):
    """A function with step options: recorded when a workflow's body calls it, an ordinary function elsewhere."""

    def __init__(self, fn: Callable[P, R], name: str, options: StepOptions) -> None:
        self.fn, self.name, self.options = fn, check_name("step name", name), options
        self._is_async = inspect.iscoroutinefunction(fn)
        options.demand_async(name, is_async=self._is_async)
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step under its own name and options, or the plain function outside a workflow's body."""
        activity = in_body()
        if activity is None:
            return self.fn(*args, **kwargs)
        # An async context answers a coroutine, which only an async step's caller expects.
        if activity.context.is_async and not self._is_async:
            raise TypeError(
                f"{self.name} is a plain function in an async workflow: "
                f"write `await ctx.step({self.name!r}, {self.name}, ...)`"
            )
        # Not ctx.step, whose own `type=` would take the argument of a step that has a parameter of that name.
        result: R = activity.context._call(self, args, kwargs)  # noqa: SLF001  the two halves of one call
        return result

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind a step that is defined in a class to its instance."""
        return self if instance is None else MethodType(self, instance)


class _Decorator(Protocol):
    """What `workflow(...)` with options answers."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> Workflow[P, R]: ...


@overload
def workflow(fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(fn: Callable[Concatenate[Any, P], R], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    max_recovery_attempts: int = ...,
    serializer: str | None = None,
    schedule: str | None = None,
    timezone: str | None = None,
    catch_up: bool | None = None,
    overlap: str | None = None,
    queue: str | None = None,
    required_roles: Sequence[str] = (),
) -> _Decorator: ...
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    max_recovery_attempts: int = MAX_RECOVERY_ATTEMPTS_DEFAULT,
    serializer: str | None = None,
    schedule: str | None = None,
    timezone: str | None = None,
    catch_up: bool | None = None,
    overlap: str | None = None,
    queue: str | None = None,
    required_roles: Sequence[str] = (),
) -> Any:
    """Register a function as a workflow, under *name* or its qualified name.

    Its first parameter is its context. After `max_recovery_attempts` further starts that did not end, it is set aside
    as MAX_RECOVERY_ATTEMPTS_EXCEEDED. `serializer="pickle"` lets its arguments and results be any Python object, in a
    database that only trusted programs write to. With *required_roles* it runs only for a user who has one of them: a
    start by an engine that knows it raises `NotAuthorized`, and any other run of it ends with that error.

    With *schedule*, a cron of six fields, second first, it runs by itself with one `ScheduledInput`, as in
    `schedule="0 0 3 * * *", timezone="Europe/Berlin"`; UTC is the default. `catch_up` starts a run for each tick that
    was missed too. `overlap="skip"` starts none while an earlier one has not ended, `overlap="queue"` one after
    another; *queue* names where they wait. Each launch brings the stored schedule, which has the workflow's name, to
    what stands here, and leaves a pause as it is.

    Raises `InvalidArgument` for a signature without a context or with a parameter `options`, and for a schedule that
    cannot be meant; `WorkflowConflict` when the name stands for other code.
    """
    planned = scheduled(schedule, timezone=timezone, catch_up=catch_up, overlap=overlap, queue=queue)

    def register(function: Callable[..., Any]) -> Workflow[Any, Any]:
        chosen = _chosen_name("workflow", name, function)
        return Workflow(
            REGISTRY.add(Definition(chosen, function, max_recovery_attempts, serializer, planned, required_roles))
        )

    return register if fn is None else register(fn)


def scheduled(cron: str | None, **options: Any) -> ScheduleDefinition | None:
    """Return what the options of a workflow say of its schedule. Raises `InvalidArgument`."""
    given = {name: value for name, value in options.items() if value is not None}
    if cron is not None:
        return ScheduleDefinition(cron=cron, **given)
    if given:
        name, value = next(iter(given.items()))
        raise InvalidArgument(name, value, "says how a schedule is kept, so give schedule='0 0 3 * * *' too")
    return None


@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    max_retries: int = ...,
    base_interval: float | timedelta = ...,
    backoff_factor: float = ...,
    max_interval: float | timedelta = ...,
    should_retry: Callable[[Exception], bool] | None = None,
    timeout: float | timedelta | None = None,
    serializer: str | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(fn: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a step: called in a workflow's body it is recorded under its name, with these options.

    The options are those of `StepOptions`. Raises `InvalidArgument` for values that cannot be meant.
    """
    chosen = StepOptions(**options)

    def wrap(function: Callable[..., Any]) -> Step[Any, Any]:
        return Step(function, _chosen_name("step", name, function), chosen)

    return wrap if fn is None else wrap(fn)


def _chosen_name(what: str, name: str | None, function: Callable[..., Any]) -> str:
    # A class method is no function yet where @classmethod stands below.
    if isinstance(function, Workflow | Step) or not hasattr(function, "__qualname__") or not callable(function):
        raise InvalidArgument(
            what, function, f"@durust.{what} decorates a function; its options are given by name, as in name='...'"
        )
    return function.__qualname__ if name is None else name
