"""What a workflow's body is given: the durable operations, awaited here and blocking in `sync_context`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload
from uuid import UUID

from durust import clock
from durust.base_context import BaseContext, instant
from durust.bearer import Bearer
from durust.codec import Codec
from durust.decorators import Step
from durust.engine.drive import AwaitingDriver, BlockingDriver
from durust.mailbox import Mailbox
from durust.model.names import check_name
from durust.model.retry import StepOptions, duration_seconds
from durust.nursery import Nursery
from durust.parent import Parent
from durust.publisher import Publisher
from durust.routines import patches
from durust.routines.draws import NOW_NAME, RANDOM_NAME, UUID_NAME, draw
from durust.routines.effects import Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task, step
from durust.routines.waits import sleep
from durust.subscriber import Subscriber
from durust.sync_context import SyncDurableContext
from durust.transactions import AsyncTransactions

T = TypeVar("T")


class DurableContext(BaseContext, Bearer, Publisher, Subscriber, Mailbox, AsyncTransactions, Parent):
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
        return self._draw("ctx.now", NOW_NAME, datetime, instant)

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

    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        return self._driver.operate(place, routine, is_wait=is_wait)


def make_context(
    run: Run, driver: BlockingDriver | AwaitingDriver, codec: Codec, nursery: Nursery | None = None
) -> DurableContext | SyncDurableContext:
    """Return the context of a run, in the colour of its driver; its children come from *nursery*."""
    if isinstance(driver, AwaitingDriver):
        return DurableContext(run, driver, codec, nursery or Nursery())
    return SyncDurableContext(run, driver, codec, nursery or Nursery())
