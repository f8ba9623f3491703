"""Waiting for what others do: in memory for a moment, then parked, and never past what has come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from durust import DurableContext, Status, WorkflowOptions
from durust.codec import Codec
from durust.model.waits import Ending, Found
from durust.routines.replay import TIMEOUT_NAME
from durust.routines.results import RESULT_NAME, get_result
from durust.sync_context import SyncDurableContext
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

# Kept in memory, however long it takes to look at it.
STAYS: dict[str, Any] = {"park_after_seconds": 3600.0}
# So that only a hint brings news within a test.
RARELY: dict[str, Any] = {"idle_poll_seconds": 60.0}
HOUR = 3600.0


def read(found: Found) -> Any:
    assert isinstance(found, Ending)
    return [str(found.status), Codec().load(found.output, found.serialization, Any)]


def result_of(ctx: DurableContext | SyncDurableContext, workflow_id: str, timeout: float | None = None) -> Any:
    """Wait in a body for the end of another workflow."""
    place = ctx._run.take_place_of_wait()
    routine = get_result(ctx._run, place, workflow_id, ctx._drawn(RESULT_NAME, list[str]), read, timeout)
    if isinstance(ctx, DurableContext):
        return ctx._end(place, routine, is_wait=True)
    return ctx._end(routine)


async def gate(ctx: DurableContext) -> str:
    """End when a test says so."""
    await ctx.step("pass", OPEN[ctx.workflow_id].wait)
    return "through"


OPEN: dict[str, threading.Event] = {}


@pytest.fixture(autouse=True)
def opened(stage: Stage) -> Iterator[None]:
    """Let everybody through before the stage waits for its threads."""
    yield
    for each in OPEN.values():
        each.set()


def make_gate(stage: Stage, workflow_id: str = "gate", **settings: Any) -> Any:
    """Start a workflow in an engine of its own that ends when it is let through."""
    engine = stage.launch(gate, **settings)
    OPEN[workflow_id] = threading.Event()
    engine.run_workflow("gate", options=WorkflowOptions(workflow_id=workflow_id))
    return OPEN[workflow_id].set


def watched(engine: Any) -> bool:
    return parts(engine).watcher.is_watched()


@pytest.mark.covers(50)
@pytest.mark.parametrize("settings", [STAYS | RARELY, RARELY], ids=["in memory", "parked"])
def test_a_wait_is_over_when_it_has_come(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield result_of(ctx, "gate"))

    let_through = make_gate(stage)
    engine = stage.launch(waiter, **settings)
    handle = engine.run_workflow("waiter")
    if settings is RARELY:
        eventually(lambda: stage.row(handle).status is Status.DELAYED)
        assert stage.row(handle).delay_until_ms is None
    else:
        eventually(lambda: watched(engine))

    let_through()

    assert handle.get_result(PATIENCE) == ["SUCCESS", "through"]
    assert stage.names(handle) == {1: RESULT_NAME}
    assert stage.row(handle).attempts == 1
    assert not watched(engine)


def test_what_has_come_before_is_there_at_once(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return [(yield result_of(ctx, "gate")), (yield result_of(ctx, "gate", 0))]

    make_gate(stage)()
    engine = stage.launch(waiter, **RARELY)
    eventually(lambda: stage.row("gate").status is Status.SUCCESS)

    assert engine.run_workflow("waiter").get_result(PATIENCE) == [["SUCCESS", "through"]] * 2


@pytest.mark.parametrize("settings", [STAYS, {"park_after_seconds": 0.05}], ids=["in memory", "parked"])
def test_a_timeout_ends_a_wait_and_a_replay_sees_it_again(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        try:
            yield result_of(ctx, "gate", 0.3)
        except TimeoutError as error:
            yield ctx.sleep(0.4)
            return str(error)

    make_gate(stage)
    handle = stage.launch(waiter, **settings).run_workflow("waiter")

    assert "did not end within 0.3 s" in handle.get_result(PATIENCE)
    assert [stage.names(handle)[place] for place in (1, 2)] == [RESULT_NAME, TIMEOUT_NAME]


def test_waiters_wait_beside_sleepers_and_each_other(stage: Stage) -> None:
    async def waiter(ctx: DurableContext) -> Any:
        return await asyncio.gather(result_of(ctx, "a"), ctx.sleep(0.7), result_of(ctx, "b"), result_of(ctx, "a", HOUR))

    first, second = make_gate(stage, "a"), make_gate(stage, "b")
    handle = stage.launch(waiter).run_workflow("waiter")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)

    second()
    eventually(lambda: len(stage.history(handle)) == 3)
    first()

    assert handle.get_result(PATIENCE) == [["SUCCESS", "through"], None, *[["SUCCESS", "through"]] * 2]
    assert stage.row(handle).attempts == 1


def test_a_wait_that_is_cut_short_is_recorded_and_leaves_nothing_behind(stage: Stage) -> None:
    async def waiter(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(0.1):
                await result_of(ctx, "gate")
        except TimeoutError:
            await ctx.sleep(0.5)
            return "gave up"
        return "it came"

    let_through = make_gate(stage)
    engine = stage.launch(waiter)
    handle = engine.run_workflow("waiter")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    let_through()

    assert handle.get_result(PATIENCE) == "gave up"
    assert stage.history(handle)[1].error is not None
    assert not watched(engine)


def test_one_slot_is_enough_to_wait_for_what_needs_a_slot(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield result_of(ctx, "later"))

    async def later(ctx: DurableContext) -> str:
        return "done"

    engine = stage.launch(waiter, later, slots=1)
    engine.enqueue("_dbos_internal_queue", "later", options=WorkflowOptions(workflow_id="later", delay=0.5))
    handle = engine.run_workflow("waiter")

    assert handle.get_result(PATIENCE) == ["SUCCESS", "done"]


def test_a_drain_sets_waiters_aside(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield result_of(ctx, "gate"))

    make_gate(stage)
    engine = stage.launch(waiter, **STAYS)
    handle = engine.run_workflow("waiter")
    eventually(lambda: watched(engine))

    engine.close(PATIENCE)

    assert stage.row(handle).status is Status.DELAYED
    assert stage.row(handle).attempts == 0


def test_a_timeout_of_ages_is_no_divergence(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        message = yield ctx.recv(timeout=1e300)
        return [message, (yield result_of(ctx, "gate", 1e12))]

    engine = stage.launch(waiter)
    handle = engine.run_workflow("waiter")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    make_gate(stage)()
    engine.send(handle.id, "here")

    assert handle.get_result(PATIENCE) == ["here", ["SUCCESS", "through"]]
