"""What a workflow's body is given: the durable operations, awaited in one class and blocking in the other."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import MethodType
from typing import Any, TypeVar, overload
from uuid import UUID

from durust import clock
from durust.bearer import Bearer, SyncBearer
from durust.codec import UNTYPED, Codec, Shape
from durust.decorators import Step
from durust.engine.current import CURRENT, Activity, current_step
from durust.engine.drive import AwaitingDriver, BlockingDriver
from durust.errors import InvalidArgument, NotInStep, NotInWorkflow, StepTimedOut
from durust.mailbox import Mailbox, SyncMailbox
from durust.model.attempts import StepStatus
from durust.model.names import check_name
from durust.model.retry import StepOptions, duration_seconds
from durust.nursery import Nursery
from durust.parent import Parent, SyncParent
from durust.publisher import Publisher, SyncPublisher
from durust.routines import patches
from durust.routines.draws import NOW_NAME, RANDOM_NAME, UUID_NAME, draw
from durust.routines.effects import Cut, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task, step
from durust.routines.waits import sleep
from durust.subscriber import Subscriber, SyncSubscriber
from durust.transactions import AsyncTransactions, SyncTransactions

T = TypeVar("T")

# How many functions' annotations are kept: more than a program has steps, so that each is read once.
RESULT_TYPES_KEPT = 1024
_NO_OPTIONS = StepOptions()
_JSON = Codec()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Context:
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
        is_async = inspect.iscoroutinefunction(fn)
        chosen.demand_async(name, is_async=is_async)
        body = functools.partial(_in_step_async if is_async else _in_step, fn, args, kwargs)
        if (seconds := chosen.timeout_seconds) is not None:
            body = functools.partial(_bounded, name, seconds, body)
        return Task(name, body, is_async, chosen, _result_type(fn) if annotation is None else annotation, codec)

    def _drawn(self, name: str, kind: Any) -> Task:
        """Return the task of a drawn value, which is written as JSON whatever the workflow's own values are."""
        return Task(name, _nothing, is_async=False, options=_NO_OPTIONS, annotation=kind, codec=_JSON)

    def _ensure_here(self, asked: str) -> None:
        activity = CURRENT.get()
        is_mine = activity is not None and not activity.in_step and activity.run is self._run
        if not is_mine or threading.get_ident() != self._thread:
            raise NotInWorkflow(f"{asked} of workflow {self.workflow_id}")


class DurableContext(_Context, Bearer, Publisher, Subscriber, Mailbox, AsyncTransactions, Parent):
    """The operations of an `async def` workflow: each takes its place when it is called, and is awaited."""

    is_async = True

    def __init__(self, run: Run, driver: AwaitingDriver, codec: Codec, nursery: Nursery) -> None:
        super().__init__(run, codec, nursery)
        self._driver = driver

    @overload
    def step(
        self, name: str, fn: Callable[..., Awaitable[T]], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, name: str, fn: Callable[..., T], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self, name: str, fn: Callable[..., Any], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Run a step and return its result; a step that is recorded already is not run again.

        Its error is recorded and raised likewise. `type` says what to rebuild the result as where the function's
        annotation does not.
        """
        return self._operate(self._task(None, name, fn, args, kwargs, type), "ctx.step")

    @overload
    def step_with(
        self,
        options: StepOptions,
        name: str,
        fn: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        type: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step_with(
        self, options: StepOptions, name: str, fn: Callable[..., T], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, T]: ...
    def step_with(
        self, options: StepOptions, name: str, fn: Callable[..., Any], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Run a step like `step`, with options of its own: retries, their pauses, the serializer."""
        return self._operate(self._task(options, name, fn, args, kwargs, type), "ctx.step_with")

    def sleep(self, seconds: float | timedelta) -> Coroutine[Any, Any, None]:
        """Sleep for *seconds*, across crashes and restarts.

        The moment of waking is recorded first, so an execution that resumes waits only for what is left. A long sleep
        gives its slot and its memory back, and the workflow is claimed again on waking.
        """
        length = duration_seconds("seconds", seconds)
        self._ensure_here("ctx.sleep")
        place = self._run.take_place_of_sleep()
        return self._end(place, sleep(self._run, place, length), is_wait=True)

    def now(self) -> Coroutine[Any, Any, datetime]:
        """Return the time, in UTC: recorded, so a replay sees the same. It is the database's, and never goes back."""
        return self._draw("ctx.now", NOW_NAME, datetime, _instant)

    def uuid(self) -> Coroutine[Any, Any, UUID]:
        """Return a random UUID: recorded, so a replay sees the same."""
        return self._draw("ctx.uuid", UUID_NAME, UUID, lambda _: clock.random_uuid())

    def random(self) -> Coroutine[Any, Any, float]:
        """Return a random number from 0 on and below 1: recorded, so a replay sees the same."""
        return self._draw("ctx.random", RANDOM_NAME, float, lambda _: clock.jitter())

    def _draw(self, asked: str, name: str, kind: Any, make: Callable[[int], Any]) -> Coroutine[Any, Any, Any]:
        self._ensure_here(asked)
        place = self._run.take_place()
        return self._end(place, draw(self._run, place, self._drawn(name, kind), make))

    async def patch(self, name: str) -> bool:
        """Tell whether to go the new way, where the code was changed under running workflows.

        True for a run that has not been here yet, which is recorded and so stays, and False for one whose history goes
        on behind this place as the old code made it. Called in a loop it is asked, and answered, each time anew.
        """
        # Its place is taken when it is awaited, and its record goes on its way before anything else of the run happens:
        # a record behind this place would say that the old code came by.
        self._ensure_here("ctx.patch")
        if not patches.takes_new_way(self._run, check_name("patch name", name)):
            return False
        return await self._mark(name)

    async def deprecate_patch(self, name: str) -> None:
        """Pass the record of a patch whose old way is gone from the code; a run that has none passes too.

        When no run is left that began before this, the line can go.
        """
        self._ensure_here("ctx.deprecate_patch")
        if patches.holds_marker(self._run, check_name("patch name", name)):
            await self._mark(name)

    async def _mark(self, name: str) -> bool:
        place = self._run.take_place()
        return bool(await self._end(place, patches.mark(self._run, place, name)))

    def _call(self, called: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        return self._operate(self._task(None, called.name, called, args, kwargs, None), called.name)

    def _operate(self, task: Task, asked: str) -> Coroutine[Any, Any, Any]:
        self._ensure_here(asked)
        place = self._run.take_place()
        return self._end(place, step(self._run, place, task))

    async def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Any:
        match await self._driver.operate(place, routine, is_wait=is_wait):
            case Returned(value):
                return value
            case Raised(error):
                raise error
            case Cut():
                raise asyncio.CancelledError


class SyncDurableContext(
    _Context, SyncBearer, SyncPublisher, SyncSubscriber, SyncMailbox, SyncTransactions, SyncParent
):
    """The operations of a `def` workflow. Each blocks until its result is there."""

    is_async = False

    def __init__(self, run: Run, driver: BlockingDriver, codec: Codec, nursery: Nursery) -> None:
        super().__init__(run, codec, nursery)
        self._driver = driver

    @overload
    def step(
        self, name: str, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> T: ...
    @overload
    def step(self, name: str, fn: Callable[..., T], /, *args: Any, type: Any = None, **kwargs: Any) -> T: ...
    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, type: Any = None, **kwargs: Any) -> Any:
        """Run a step and return its result; a step that is recorded already is not run again.

        Its error is recorded and raised likewise. `type` says what to rebuild the result as where the function's
        annotation does not.
        """
        return self._operate(self._task(None, name, fn, args, kwargs, type), "ctx.step")

    @overload
    def step_with(
        self,
        options: StepOptions,
        name: str,
        fn: Callable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        type: Any = None,
        **kwargs: Any,
    ) -> T: ...
    @overload
    def step_with(
        self, options: StepOptions, name: str, fn: Callable[..., T], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> T: ...
    def step_with(
        self, options: StepOptions, name: str, fn: Callable[..., Any], /, *args: Any, type: Any = None, **kwargs: Any
    ) -> Any:
        """Run a step like `step`, with options of its own: retries, their pauses, the serializer."""
        return self._operate(self._task(options, name, fn, args, kwargs, type), "ctx.step_with")

    def sleep(self, seconds: float | timedelta) -> None:
        """Sleep for *seconds*, across crashes and restarts.

        The moment of waking is recorded first, so an execution that resumes waits only for what is left. A long sleep
        gives its thread back, and the workflow is claimed again on waking.
        """
        length = duration_seconds("seconds", seconds)
        self._ensure_here("ctx.sleep")
        self._end(sleep(self._run, self._run.take_place_of_sleep(), length))

    def now(self) -> datetime:
        """Return the time, in UTC: recorded, so a replay sees the same. It is the database's, and never goes back."""
        drawn: datetime = self._draw("ctx.now", NOW_NAME, datetime, _instant)
        return drawn

    def uuid(self) -> UUID:
        """Return a random UUID: recorded, so a replay sees the same."""
        drawn: UUID = self._draw("ctx.uuid", UUID_NAME, UUID, lambda _: clock.random_uuid())
        return drawn

    def random(self) -> float:
        """Return a random number from 0 on and below 1: recorded, so a replay sees the same."""
        drawn: float = self._draw("ctx.random", RANDOM_NAME, float, lambda _: clock.jitter())
        return drawn

    def _draw(self, asked: str, name: str, kind: Any, make: Callable[[int], Any]) -> Any:
        self._ensure_here(asked)
        place = self._run.take_place()
        return self._end(draw(self._run, place, self._drawn(name, kind), make))

    def patch(self, name: str) -> bool:
        """Tell whether to go the new way, where the code was changed under running workflows.

        True for a run that has not been here yet, which is recorded and so stays, and False for one whose history goes
        on behind this place as the old code made it. Called in a loop it is asked, and answered, each time anew.
        """
        self._ensure_here("ctx.patch")
        if not patches.takes_new_way(self._run, check_name("patch name", name)):
            return False
        return self._mark(name)

    def deprecate_patch(self, name: str) -> None:
        """Pass the record of a patch whose old way is gone from the code; a run that has none passes too.

        When no run is left that began before this, the line can go.
        """
        self._ensure_here("ctx.deprecate_patch")
        if patches.holds_marker(self._run, check_name("patch name", name)):
            self._mark(name)

    def _mark(self, name: str) -> bool:
        return bool(self._end(patches.mark(self._run, self._run.take_place(), name)))

    def _call(self, called: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._operate(self._task(None, called.name, called, args, kwargs, None), called.name)

    def _operate(self, task: Task, asked: str) -> Any:
        self._ensure_here(asked)
        return self._end(step(self._run, self._run.take_place(), task))

    def _end(self, routine: Routine[StepEnd]) -> Any:
        match self._driver.operate(routine):
            case Returned(value):
                return value
            case Raised(error):
                raise error
            case Cut():
                raise TypeError("nothing cuts the step of a sync workflow short")


def _instant(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _nothing() -> None:
    """Stand for the body of what has none."""


def make_context(
    run: Run, driver: BlockingDriver | AwaitingDriver, codec: Codec, nursery: Nursery | None = None
) -> DurableContext | SyncDurableContext:
    """Return the context of a run, in the colour of its driver; its children come from *nursery*."""
    if isinstance(driver, AwaitingDriver):
        return DurableContext(run, driver, codec, nursery or Nursery())
    return SyncDurableContext(run, driver, codec, nursery or Nursery())


def _in_step(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], status: StepStatus, *first: Any
) -> Any:
    token = CURRENT.set(_as_step(status))
    try:
        result = fn(*first, *args, **kwargs)
    finally:
        CURRENT.reset(token)
    # A plain function may answer an awaitable, such as a lambda around an async step: its body runs when it is awaited.
    return _await_in_step(result, status) if inspect.isawaitable(result) else result


async def _in_step_async(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], status: StepStatus
) -> Any:
    return await _await_in_step(fn(*args, **kwargs), status)


async def _await_in_step(awaitable: Awaitable[Any], status: StepStatus) -> Any:
    token = CURRENT.set(_as_step(status))
    try:
        return await awaitable
    finally:
        CURRENT.reset(token)


async def _bounded(name: str, seconds: float, body: Callable[[StepStatus], Awaitable[Any]], status: StepStatus) -> Any:
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await body(status)
    except TimeoutError:
        # A body may also raise one of its own.
        if bound.expired():
            raise StepTimedOut(name, seconds) from None
        raise


def _as_step(status: StepStatus) -> Activity | None:
    activity = CURRENT.get()
    return None if activity is None else Activity(activity.run, activity.context, status)


def _result_type(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    if "return" not in getattr(fn, "__annotations__", ()):
        return UNTYPED
    return _annotated_result(getattr(fn, "__func__", fn))


@functools.lru_cache(maxsize=RESULT_TYPES_KEPT)
def _annotated_result(fn: Any) -> Any:
    return Shape.of(fn, skip_first=False).result
