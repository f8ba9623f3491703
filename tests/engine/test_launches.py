"""An engine is launched once, leaves nothing behind when it cannot be, and is closed from wherever its user stands."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    QueueNotFound,
    SchemaMismatch,
    Status,
    SyncDurableContext,
    WorkflowQueue,
)
from durust.model.filters import ExecutorQuery
from durust.model.writes import INTERNAL_QUEUE
from tests.engine.stage import PATIENCE, Stage, own_threads
from tests.support.waiting import eventually

THREADS = 8


def answer(_: SyncDurableContext) -> int:
    return 42


def make_engine(stage: Stage, **options: Any) -> DurableEngine:
    """Return an engine that knows one workflow and was not launched."""
    engine = DurableEngine(stage.make_line(), settings=stage.make_engine().settings, **options)
    stage._engines.append(engine)
    engine.register("answer", answer)
    return engine


@pytest.mark.covers(22)
def test_threads_that_launch_one_engine_together_start_it_once(stage: Stage) -> None:
    engine = make_engine(stage)

    with ThreadPoolExecutor(THREADS) as pool:
        for launched in [pool.submit(engine.launch) for _ in range(THREADS)]:
            launched.result(PATIENCE)

    [executor] = stage.provider.executors(ExecutorQuery())
    assert executor.executor_id == engine.executor_id
    assert engine.start("answer") == 42


@pytest.mark.covers(22)
def test_a_launch_that_fails_leaves_nothing_running_and_can_be_tried_again(stage: Stage) -> None:
    engine = make_engine(stage, queues=["mail"])
    with pytest.raises(QueueNotFound, match="mail"):
        engine.launch()
    assert own_threads() == []
    assert stage.provider.executors(ExecutorQuery()) == []
    engine.register_queue(WorkflowQueue("mail"))

    engine.launch()

    assert engine.enqueue("mail", "answer").get_result(PATIENCE) == 42


def close_here(engine: DurableEngine) -> Awaitable[None]:
    """Close on the loop itself, which nothing else can run on meanwhile."""
    engine.close(0)
    return asyncio.sleep(0)


async def close_from_threads(engine: DurableEngine) -> None:
    """Close from several threads at the same time."""
    await asyncio.gather(*(asyncio.to_thread(engine.close, 0) for _ in range(THREADS)))


@pytest.mark.covers(49)
@pytest.mark.parametrize("close", [close_here, close_from_threads])
def test_an_engine_that_borrowed_a_loop_is_closed_while_its_work_runs_there(
    stage: Stage, close: Callable[[DurableEngine], Awaitable[None]]
) -> None:
    began: list[str] = []

    async def wait_for_ever() -> None:
        began.append("step")
        await asyncio.get_running_loop().create_future()

    async def wait(ctx: DurableContext) -> None:
        await ctx.step("wait", wait_for_ever)

    engine = stage.make_engine(drain_seconds=0.1)
    engine.register("wait", wait)

    async def lend() -> str:
        async with engine.aio as lent:
            handle = await lent.run_workflow("wait")
            await asyncio.to_thread(eventually, lambda: began)
            await close(engine)
            return handle.id

    workflow_id = asyncio.run(asyncio.wait_for(lend(), PATIENCE))

    row = stage.row(workflow_id)
    assert (row.status, row.queue, row.attempts) == (Status.ENQUEUED, INTERNAL_QUEUE, 0)
    assert own_threads() == []


def test_what_ran_on_a_loop_that_ended_before_its_engine_goes_on_elsewhere(stage: Stage) -> None:
    began: Counter[str] = Counter()
    is_mended = threading.Event()

    async def work(colour: str) -> str:
        began[colour] += 1
        if not is_mended.is_set():
            await asyncio.get_running_loop().create_future()
        return "done"

    async def in_step(ctx: DurableContext) -> str:
        return await ctx.step("work", work, "async")

    def in_step_of_another_colour(ctx: SyncDurableContext) -> str:
        return ctx.step("work", work, "sync")

    async def in_wait(ctx: DurableContext) -> str:
        began["wait"] += 1
        received: str = await ctx.recv("topic")
        return received

    workflows: list[Callable[..., Any]] = [in_step, in_step_of_another_colour, in_wait]
    engine = stage.make_engine(park_after_seconds=PATIENCE)
    for workflow in workflows:
        engine.register(workflow.__name__, workflow)

    async def lend() -> list[str]:
        lent = await engine.aio.__aenter__()
        handles = [await lent.run_workflow(workflow.__name__) for workflow in workflows]
        await asyncio.to_thread(eventually, lambda: len(began) == len(workflows))
        return [handle.id for handle in handles]

    ids = asyncio.run(lend())
    eventually(lambda: [stage.row(each).status for each in ids] == [Status.ENQUEUED] * len(ids))

    is_mended.set()
    other = stage.launch(*workflows)
    other.send(ids[2], "done", "topic")
    assert [other.retrieve_workflow(each).get_result(PATIENCE) for each in ids] == ["done"] * len(ids)


@pytest.mark.covers(186)
def test_an_engine_that_does_not_migrate_serves_what_fits(stage: Stage) -> None:
    engine = make_engine(stage, migrate=False)

    engine.launch()

    assert engine.start("answer") == 42
    assert stage.line_of(engine).calls["migrate"] == 0


@pytest.mark.covers(186)
def test_an_engine_that_does_not_migrate_refuses_an_empty_file_and_leaves_it_so(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    path.touch()
    engine = DurableEngine(f"sqlite:///{path}", migrate=False)

    with pytest.raises(SchemaMismatch, match="durust has migrated"):
        engine.launch()

    assert path.read_bytes() == b""
    assert own_threads() == []
