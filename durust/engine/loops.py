"""The event loop that async bodies run on: a thread of the engine's own, or the caller's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from durust.engine.stillness import Stillness
from durust.engine.timers import govern
from durust.telemetry import emit, logger

# A loop whose tasks were all cancelled ends at once; longer means that user code blocks it, and it is left behind.
STOP_SECONDS = 5.0
# How long the tasks that are left when a loop stops may take to end after their cancellation.
CANCEL_SECONDS = 1.0


class _Guest(asyncio.Task[Any]):
    """A task on a loop of the caller's, which hears before anything else of its run does that the loop is wound up."""

    def __init__(
        self, work: Coroutine[Any, Any, Any], context: contextvars.Context, wound_up: Callable[[], None]
    ) -> None:
        self._wound_up = wound_up
        super().__init__(work, loop=asyncio.get_running_loop(), context=context)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task. While its loop stands still nobody else does that: `asyncio.run` has come to its end."""
        if not self.get_loop().is_running():
            self._wound_up()
        return super().cancel(msg)


class Loop:
    """Where async bodies run. Started on first need; an adopted loop is its owner's to stop."""

    def __init__(self, adopted: asyncio.AbstractEventLoop | None = None) -> None:
        self._adopted = adopted
        self._loop = adopted
        if adopted is not None:
            govern(adopted)
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._is_over = False
        self._mutex = threading.Lock()
        self._stillness: Stillness | None = None

    @property
    def stillness(self) -> Stillness:
        """Return what tells when a body has done all it can. Called on the loop."""
        if self._stillness is None:
            self._stillness = Stillness(self.loop)
        return self._stillness

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, and start its thread on the first use."""
        if self._loop is not None:
            return self._loop
        with self._mutex:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                govern(self._loop)
                self._thread = threading.Thread(target=self._work, args=(self._loop,), name="durust-loop", daemon=True)
                self._thread.start()
            return self._loop

    def is_current(self) -> bool:
        """Tell whether the caller runs on this loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def is_ending(self) -> bool:
        """Tell whether an adopted loop is being shut down, as by the end of `asyncio.run`, which cancels every task.

        Called by a task that was cancelled.
        """
        return self._adopted is not None and all(task.cancelling() for task in asyncio.all_tasks(self._adopted))

    def is_over(self) -> bool:
        """Tell whether an adopted loop was wound up, as by the end of `asyncio.run`: nothing can run there any more."""
        return self._is_over or (self._adopted is not None and self._adopted.is_closed())

    def make_task(
        self, work: Coroutine[Any, Any, Any], context: contextvars.Context, wound_up: Callable[[], None]
    ) -> asyncio.Task[Any]:
        """Return a task of *work*. Called on the loop.

        Should its owner wind the loop up, *wound_up* is called before any task sees its cancellation.
        """
        if self._adopted is None:
            return self.loop.create_task(work, context=context)

        def note() -> None:
            self._note_end()
            wound_up()

        return _Guest(work, context, note)

    def _note_end(self) -> None:
        if not self._is_over:
            self._is_over = True
            logger.warning(
                "the event loop ends before the engine that runs on it was closed, so what ran there is handed back "
                "and nothing more is claimed here; use `async with engine.aio`, or close the engine first"
            )

    def spawn(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        keep: set[asyncio.Task[Any]],
        wound_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a task on the loop, from any thread, with no context variables set.

        *keep* holds it until it ends, so that it is not collected. Should the owner of an adopted loop wind it up,
        *wound_up* is called before any task sees its cancellation.

        Raises `RuntimeError` when the loop is closed or wound up.
        """

        def begin() -> None:
            task = self.make_task(function(*args), contextvars.Context(), wound_up)
            keep.add(task)
            task.add_done_callback(keep.discard)

        loop = self.loop
        if self.is_over():
            raise RuntimeError("the event loop was wound up")
        if self.is_current():
            begin()
        else:
            loop.call_soon_threadsafe(begin)

    def call(self, function: Any, *args: Any) -> None:
        """Call a plain function on the loop, from any thread; nothing happens when the loop is gone."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(function, *args)
            except RuntimeError:
                # Closed between the look and the call: nobody is left to hear.
                return

    def close(self) -> None:
        """Stop the engine's own loop thread."""
        if self._thread is None or self._loop is None:
            return
        # Closed already when somebody closes a second time.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop, self._loop)
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._is_closing:
                self._run(loop)
        finally:
            loop.run_until_complete(_wind_up(loop))
            loop.close()

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        # Noted on the loop itself, so that a loop which user code has just stopped does not keep this stop for later.
        self._is_closing = True
        loop.stop()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until it is stopped, were it by user code: everybody else's bodies run on it too."""
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001  asyncio lets the exit of a task through, which is a body's own end
            emit("loop_left", error=repr(error))


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """End what user code left on the loop: tasks, async generators, the threads of `asyncio.to_thread`."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        ended, _ = await asyncio.wait(left, timeout=CANCEL_SECONDS)
        for task in ended:
            # Looked at, so that asyncio does not complain that nobody did.
            _ = task.cancelled() or task.exception()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def see_through(work: Callable[[], None]) -> None:
    """Call *work* in a thread and wait for its end, also when this task is cancelled meanwhile: a thread is not."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        # Looked at, so that asyncio does not complain that nobody did.
        _ = task.cancelled() or task.exception()
        raise
