"""Events are waited for by bodies, engines and clients: in memory for a moment, then parked, and never past a value."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableContext,
    DurableEngine,
    InvalidArgument,
    Settings,
    Status,
)
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.publishing import dismissed, make_publisher, watched
from tests.engine.stage import PATIENCE, QUICK, Stage, parts
from tests.support.hintless import HintlessLine
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# Kept in memory, however long it takes to look at it.
STAYS: dict[str, Any] = {"park_after_seconds": 3600.0}
# So that only a hint brings news within a test.
RARELY: dict[str, Any] = {"idle_poll_seconds": 60.0, "sweep_seconds": 60.0}
MANY = 200


@dataclass(frozen=True)
class Point:
    """A value with a type of its own."""

    x: int
    y: float


@pytest.fixture(autouse=True)
def publishers(stage: Stage) -> Iterator[None]:
    with dismissed():
        yield


@pytest.mark.covers(111)
@pytest.mark.parametrize("settings", [STAYS | RARELY, RARELY], ids=["in memory", "parked"])
def test_a_body_waits_for_an_event(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield ctx.get_event("publisher", "progress", type=list[int]))

    publisher = make_publisher(stage)
    engine = stage.launch(waiter, **settings)
    handle = engine.run_workflow("waiter")
    if settings is RARELY:
        eventually(lambda: stage.row(handle).status is Status.DELAYED)
        assert stage.row(handle).delay_until_ms is None
    else:
        eventually(lambda: watched(engine))

    publisher.set([1, 2])

    assert handle.get_result(PATIENCE) == [1, 2]
    assert stage.names(handle) == {1: "DBOS.getEvent"}
    assert stage.row(handle).attempts == 1
    assert not watched(engine)


@pytest.mark.covers(111)
@pytest.mark.parametrize("settings", [STAYS | RARELY, RARELY], ids=["in memory", "parked"])
def test_an_event_of_a_workflow_that_is_not_there_yet_is_waited_for(
    stage: Stage, paint: Paint, settings: dict[str, Any]
) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield ctx.get_event("publisher", "progress"))

    engine = stage.launch(waiter, **settings)
    handle = engine.run_workflow("waiter")
    if settings is RARELY:
        eventually(lambda: stage.row(handle).status is Status.DELAYED)
    else:
        eventually(lambda: watched(engine))

    make_publisher(stage).set("there")

    assert handle.get_result(PATIENCE) == "there"


@pytest.mark.covers(111)
@pytest.mark.parametrize("settings", [STAYS, {"park_after_seconds": 0.05}], ids=["in memory", "parked"])
def test_none_came_in_time_also_in_a_replay(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    found: list[Any] = []

    @paint
    def waiter(ctx: Any) -> Any:
        found.append((yield ctx.get_event("publisher", "progress", 0.3, type=Point)))
        yield ctx.step("set", publisher.set, 1)
        yield ctx.sleep(0.5)

    publisher = make_publisher(stage)
    engine = stage.launch(waiter, **settings)
    handle = engine.run_workflow("waiter")
    standing = engine.get_event("publisher", "progress", PATIENCE)
    stage.crash(engine)
    again = stage.launch(waiter)
    again.retrieve_workflow(handle.id).get_result(PATIENCE)

    assert standing == 1
    assert found
    assert set(found) == {None}
    assert stage.names(handle) == {1: "DBOS.getEvent", 2: "durust.timeout", 3: "set", 4: "DBOS.sleep"}


@pytest.mark.covers(111)
def test_what_a_body_got_stays_though_the_event_goes_on(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        first = yield ctx.get_event("publisher", "progress", type=int)
        yield ctx.step("set", lambda: publisher.set(2))
        yield ctx.sleep(0.5)
        return [first, (yield ctx.get_event("publisher", "progress", type=int))]

    publisher = make_publisher(stage)
    publisher.set(1)

    assert stage.launch(waiter).run_workflow("waiter").get_result(PATIENCE) == [1, 2]


@pytest.mark.covers(111)
def test_engines_and_clients_wait_for_an_event_in_both_colours(stage: Stage) -> None:
    publisher = make_publisher(stage, **RARELY)
    engine = publisher.engine
    with make_client(stage, **RARELY) as client:
        values: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda each=each: values.append(each.get_event("publisher", "progress", type=Point))
            )
            for each in (engine, client)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: watched(engine) and client._outpost.watcher.is_watched())

        async def awaited(each: Any) -> Any:
            return await each.get_event("publisher", "progress", TIMEOUT_SECONDS, type=Point)

        publisher.set(Point(1, 2.5).__dict__)
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)

        assert values == [Point(1, 2.5)] * 2
        assert [asyncio.run(awaited(each.aio)) for each in (engine, client)] == values
        assert client.get_event("publisher", "progress", 0) == {"x": 1, "y": 2.5}
        assert client.get_event("publisher", "other", 0.05) is None
        assert asyncio.run(client.aio.get_event("nowhere", "progress", 0.05)) is None
        assert not watched(engine)
        assert not client._outpost.watcher.is_watched()


@pytest.mark.covers(45)
def test_a_cancelled_wait_leaves_nothing_behind(stage: Stage) -> None:
    engine = make_publisher(stage).engine

    async def give_up() -> None:
        waiting = asyncio.create_task(engine.aio.get_event("publisher", "progress"))
        await asyncio.to_thread(eventually, lambda: watched(engine))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(give_up())

    assert not watched(engine)


@pytest.mark.covers(45)
def test_a_wait_of_a_body_that_is_cut_short_is_recorded_and_leaves_nothing_behind(stage: Stage) -> None:
    async def waiter(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(0.1):
                await ctx.get_event("publisher", "progress")
        except TimeoutError:
            await ctx.sleep(0.5)
            return "gave up"
        return "it came"

    publisher = make_publisher(stage)
    engine = stage.launch(waiter)
    handle = engine.run_workflow("waiter")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    publisher.set(1)

    assert handle.get_result(PATIENCE) == "gave up"
    assert not watched(engine)


def test_hundreds_of_gathered_waits_each_get_their_value(stage: Stage) -> None:
    async def waiter(ctx: DurableContext) -> list[int]:
        waits = (ctx.get_event(ctx.workflow_id, f"event {number}", type=int) for number in range(MANY))
        sets = (ctx.set_event(f"event {number}", number) for number in range(MANY))
        return (await asyncio.gather(*waits, *sets))[:MANY]

    handle = stage.launch(waiter).run_workflow("waiter")

    assert handle.get_result(PATIENCE) == list(range(MANY))


def test_where_every_hint_is_lost_the_poll_finds_the_event(stage: Stage, paint: Paint) -> None:
    @paint
    def waiter(ctx: Any) -> Any:
        return (yield ctx.get_event("publisher", "progress"))

    publisher = make_publisher(stage)
    line = HintlessLine(stage.make_line().behind)
    stage._lines.append(line)
    engine = DurableEngine(line, settings=Settings(**{**QUICK, **STAYS, "idle_poll_seconds": 0.3}))
    stage._engines.append(engine)
    engine.register("waiter", waiter)
    engine.launch()
    handle = engine.run_workflow("waiter")
    eventually(lambda: watched(engine))
    # By now its looks are as rare as they get.
    eventually(lambda: parts(engine).watcher._pace == 0.3)

    publisher.set("found")

    assert handle.get_result(PATIENCE) == "found"
    with DurableClient(HintlessLine(line.behind), settings=Settings(**QUICK)) as client:
        assert client.get_event("publisher", "progress", PATIENCE) == "found"


def test_what_cannot_be_meant_is_refused_at_the_call(stage: Stage, paint: Paint) -> None:
    odd: list[tuple[Any, ...]] = [("", "a"), ("a", ""), ("a", "b\0"), ("a", "b", -1), ("a", "b", float("nan"))]

    @paint
    def job(ctx: Any) -> Any:
        for arguments in odd:
            with pytest.raises(InvalidArgument):
                ctx.get_event(*arguments)
        return (yield ctx.step("after", lambda: True, type=bool))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")

    assert handle.get_result(PATIENCE) is True
    for arguments in odd:
        with pytest.raises(InvalidArgument):
            engine.get_event(*arguments)
        with pytest.raises(InvalidArgument):
            asyncio.run(engine.aio.get_event(*arguments))


def test_a_loop_that_runs_is_not_blocked(stage: Stage) -> None:
    engine = stage.launch()

    async def ask() -> None:
        with pytest.raises(RuntimeError, match=r"aio\.get_event"):
            engine.get_event("a", "b")
        with pytest.raises(RuntimeError, match=r"aio\.read_stream"):
            engine.read_stream("a", "b")

    asyncio.run(ask())
