"""What the body of a `def` workflow is given: the durable operations, each of which blocks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload
from uuid import UUID

from durust import clock
from durust.base_context import BaseContext, instant
from durust.bearer import SyncBearer
from durust.codec import Codec
from durust.decorators import Step
from durust.engine.drive import BlockingDriver
from durust.mailbox import SyncMailbox
from durust.model.names import check_name
from durust.model.retry import StepOptions, duration_seconds
from durust.nursery import Nursery
from durust.parent import SyncParent
from durust.publisher import SyncPublisher
from durust.routines import patches
from durust.routines.draws import NOW_NAME, RANDOM_NAME, UUID_NAME, draw
from durust.routines.effects import Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task, step
from durust.routines.waits import sleep
from durust.subscriber import SyncSubscriber
from durust.transactions import SyncTransactions

T = TypeVar("T")


class SyncDurableContext(
    BaseContext, SyncBearer, SyncPublisher, SyncSubscriber, SyncMailbox, SyncTransactions, SyncParent
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
        drawn: datetime = self._draw("ctx.now", NOW_NAME, datetime, instant)
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
        return self._driver.operate(routine)
