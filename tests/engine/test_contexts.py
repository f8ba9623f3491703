"""A context works in the body it was given to, and everywhere else it says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    InvalidArgument,
    NotInWorkflow,
    NotLaunched,
    SyncDurableContext,
    WorkflowQueue,
    workflow,
)
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, own_threads

USER: ContextVar[str] = ContextVar("user", default="nobody")


def outcome_in_thread(call: Callable[[], Any]) -> list[Any]:
    """Call something in a thread of its own and return what it answered or raised."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(call())
        except Exception as error:  # noqa: BLE001  it is what the test asks for
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    return outcomes


def test_a_context_is_refused_in_another_thread(stage: Stage) -> None:
    outcomes: list[Any] = []

    def work(ctx: SyncDurableContext) -> None:
        outcomes.extend(outcome_in_thread(lambda: ctx.step("one", lambda: 1)))

    async def await_work(ctx: DurableContext) -> None:
        outcomes.extend(outcome_in_thread(lambda: ctx.step("one", lambda: 1)))
        try:
            await (await asyncio.to_thread(ctx.sleep, 0))
        except NotInWorkflow as error:
            outcomes.append(error)

    engine = stage.launch(work, await_work)
    engine.start("work")
    engine.start("await_work")

    assert [type(outcome) for outcome in outcomes] == [NotInWorkflow, NotInWorkflow, NotInWorkflow]


def test_a_context_is_refused_inside_a_step(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("outer", lambda: ctx.step("inner", lambda: 1))

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    with pytest.raises(NotInWorkflow, match=r"ctx\.step"):
        handle.get_result(PATIENCE)
    assert stage.names(handle) == {1: "outer"}


def test_a_context_is_refused_in_another_workflow(stage: Stage) -> None:
    lent: list[SyncDurableContext] = []

    def lend(ctx: SyncDurableContext) -> None:
        lent.append(ctx)

    def borrow(_: SyncDurableContext) -> None:
        lent[0].sleep(0)

    engine = stage.launch(lend, borrow)
    engine.start("lend")

    with pytest.raises(NotInWorkflow):
        engine.start("borrow")
    with pytest.raises(NotInWorkflow):
        lent[0].step("one", lambda: 1)


@pytest.mark.covers(44)
def test_context_variables_are_each_workflows_own(stage: Stage, paint: Paint) -> None:
    seen: list[str] = []

    @paint
    def work(ctx: Any, name: str) -> Any:
        seen.append(USER.get())
        USER.set(name)
        # The body of a step sees what the workflow's body set, wherever it runs.
        inside = yield ctx.step("look", USER.get)
        return [inside, USER.get()]

    engine = stage.launch(work)
    token = USER.set("starter")
    handles = [engine.run_workflow("work", f"user-{number}") for number in range(30)]
    USER.reset(token)

    assert [handle.get_result(PATIENCE) for handle in handles] == [[f"user-{number}"] * 2 for number in range(30)]
    assert seen == ["nobody"] * 30


def test_a_workflow_is_not_called_directly() -> None:
    @workflow(name="test_contexts.direct")
    def direct(_: SyncDurableContext, number: int) -> int:
        return number + 1

    with pytest.raises(TypeError, match=r"engine\.start"):
        direct(1)
    assert direct.fn(None, 1) == 2


@pytest.mark.covers(14)
def test_a_running_workflow_does_not_start_another_through_the_engine(stage: Stage) -> None:
    engine = stage.make_engine()

    def parent(ctx: SyncDurableContext, inside: bool) -> None:
        if inside:
            ctx.step("start", lambda: engine.run_workflow("parent", False))
        else:
            engine.run_workflow("parent", False)

    engine.register("parent", parent)
    engine.launch()

    for inside in (True, False):
        with pytest.raises(InvalidArgument, match="starts another one in its body"):
            engine.start("parent", inside)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True, timedelta(seconds=-1)])
def test_a_sleep_that_cannot_be_meant_is_refused(seconds: Any) -> None:
    stage = Stage("memory://")

    def work(ctx: SyncDurableContext) -> None:
        ctx.sleep(seconds)

    async def await_work(ctx: DurableContext) -> None:
        await ctx.sleep(seconds)

    engine = stage.launch(work, await_work)

    for name in ("work", "await_work"):
        with pytest.raises(InvalidArgument, match="seconds"):
            engine.start(name)
    stage.close()


@pytest.mark.covers(20)
def test_an_engine_that_was_not_launched_says_so() -> None:
    engine = DurableEngine("memory://")

    for ask in (
        lambda: engine.run_workflow("one"),
        lambda: engine.enqueue("queue", "one"),
        lambda: engine.retrieve_workflow("id"),
        engine.list_workflows,
        engine.recover,
        engine.vitals,
    ):
        with pytest.raises(NotLaunched, match=r"engine\.launch\(\)"):
            ask()


@pytest.mark.covers(43)
def test_blocking_on_a_running_loop_is_refused_with_what_to_write(stage: Stage) -> None:
    def work(_: SyncDurableContext) -> int:
        return 1

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    async def block() -> None:
        with pytest.raises(RuntimeError, match=r"await handle\.aio\.get_result"):
            handle.get_result()
        with pytest.raises(RuntimeError, match=r"await engine\.aio\.start"):
            engine.start("work")

    asyncio.run(block())


@pytest.mark.covers(44)
def test_the_awaiting_views_answer_on_any_loop(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any, number: int) -> Any:
        return (yield ctx.step("one", lambda: number))

    engine = stage.launch(work)

    async def ask() -> tuple[Any, ...]:
        handle = await engine.aio.run_workflow("work", 7)
        result = await handle
        again = await engine.aio.retrieve_workflow(handle.id)
        steps = await engine.aio.list_steps(handle.id)
        rows = await engine.aio.list_workflows()
        status = await handle.aio.get_status()
        started = await engine.aio.start("work", 8)
        return result, await again.aio.get_result(PATIENCE), len(steps), len(rows), str(status.status), started

    assert asyncio.run(ask()) == (7, 7, 1, 1, "SUCCESS", 8)


def test_an_engine_that_is_entered_on_a_loop_runs_async_bodies_there(stage: Stage) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def one() -> int:
        loops.append(asyncio.get_running_loop())
        return 1

    async def awaited(ctx: DurableContext) -> int:
        loops.append(asyncio.get_running_loop())
        return await ctx.step("one", one)

    def plain(ctx: SyncDurableContext) -> int:
        return ctx.step("one", one)

    engine = stage.make_engine()
    engine.register("awaited", awaited)
    engine.register("plain", plain)

    async def work() -> None:
        async with engine.aio as entered:
            assert await entered.start("awaited") == 1
            assert await entered.start("plain") == 1
        assert loops == [asyncio.get_running_loop()] * 3

    asyncio.run(work())

    assert own_threads() == []
    with engine:
        assert engine.start("awaited") == 1


def test_an_engine_whose_entering_was_cancelled_is_closed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = stage.make_engine()
    launched, cancelled = threading.Event(), threading.Event()
    launch = engine.launch

    def launch_and_wait() -> None:
        launch()
        launched.set()
        cancelled.wait(PATIENCE)

    monkeypatch.setattr(engine, "launch", launch_and_wait)

    async def enter() -> None:
        async with engine.aio:
            raise AssertionError("entered")

    async def hurry() -> None:
        task = asyncio.create_task(enter())
        await asyncio.to_thread(launched.wait, PATIENCE)
        task.cancel()
        asyncio.get_running_loop().call_soon(cancelled.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hurry())

    assert own_threads() == []


def test_many_are_queued_from_a_loop(stage: Stage) -> None:
    def work(_: SyncDurableContext, number: int) -> int:
        return number

    engine = stage.make_engine()
    engine.register("work", work)
    queue = WorkflowQueue("crowd")

    async def ask() -> list[int]:
        async with engine.aio as entered:
            handles = await entered.enqueue_many(queue, "work", [(1,), (2,)])
            assert await entered.recover() == []
            return [await handle for handle in handles]

    assert asyncio.run(ask()) == [1, 2]


def test_a_text_is_no_sequence_of_queues() -> None:
    with pytest.raises(InvalidArgument, match=r"queues='emails': must be a sequence of names, as in \['emails'\]"):
        DurableEngine("memory://", queues="emails")


def test_a_close_that_cannot_be_meant_leaves_the_engine_running(stage: Stage) -> None:
    engine = stage.launch()

    with pytest.raises(InvalidArgument, match="drain_seconds=-1"):
        engine.close(-1)

    assert engine.vitals().state == "LIVE"
    engine.close(timedelta(seconds=1))


def test_an_async_result_that_is_not_there_in_time_leaves_the_workflow_running(stage: Stage) -> None:
    gate = threading.Event()

    def work(ctx: SyncDurableContext) -> bool:
        return ctx.step("wait", lambda: gate.wait(PATIENCE))

    handle = stage.launch(work).run_workflow("work")

    async def hurry() -> Any:
        with pytest.raises(TimeoutError, match=handle.id):
            await handle.aio.get_result(0.05)
        gate.set()
        return await handle.aio.get_result(PATIENCE)

    assert asyncio.run(hurry()) is True


@pytest.mark.covers(44)
def test_a_thousand_async_workflows_at_once_keep_their_context_variables_apart(stage: Stage) -> None:
    runs = 1000
    inside: list[str] = []
    # Bound to the loop that first waits for it.
    all_inside = asyncio.Event()

    async def meet() -> None:
        inside.append(USER.get())
        if len(inside) == runs:
            all_inside.set()
        await all_inside.wait()

    async def work(ctx: DurableContext, name: str) -> str:
        USER.set(name)
        await ctx.step("meet", meet)
        return USER.get()

    engine = stage.launch(work, slots=runs)
    handles = [engine.run_workflow("work", f"user-{number}") for number in range(runs)]

    assert [handle.get_result(PATIENCE) for handle in handles] == [f"user-{number}" for number in range(runs)]
    assert sorted(inside) == sorted(f"user-{number}" for number in range(runs))
