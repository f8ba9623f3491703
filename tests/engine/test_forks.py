"""A fork does again exactly what its source did from a step on, in both colours, whatever the source does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableContext,
    InvalidArgument,
    NotLaunched,
    QueueNotFound,
    Status,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowOptions,
    WorkflowQueue,
)
from durust.durable import DurableEngine
from durust.model.writes import INTERNAL_QUEUE
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

STEPS = 4


def make_job(paint: Paint, bodies: Bodies) -> Callable[..., Any]:
    """Return a workflow of four steps that counts in *bodies* which of them ran."""

    @paint
    def job(ctx: Any, word: str = "x") -> Any:
        values = [word]
        for number in range(1, STEPS + 1):
            values += yield ctx.step(f"step {number}", bodies.body(f"step {number}", [str(number)]))
        return values

    return job


@pytest.mark.covers(132)
def test_a_fork_at_each_step_runs_that_step_and_those_behind_it(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    engine = stage.launch(make_job(paint, bodies))
    source = engine.run_workflow("job", "word")
    result = source.get_result(PATIENCE)

    for place in range(1, STEPS + 2):
        bodies.clear()
        fork = engine.fork_workflow(source.id, place)

        assert fork.get_result(PATIENCE) == result
        assert bodies == [f"step {number}" for number in range(place, STEPS + 1)]
        assert stage.names(fork) == stage.names(source)
        assert stage.row(fork).forked_from == source.id
    assert stage.row(source).was_forked_from


@pytest.mark.covers(134)
def test_without_a_step_a_fork_begins_at_the_one_that_failed(stage: Stage, paint: Paint) -> None:
    bodies, is_broken = Bodies(), [True]

    def weigh() -> None:
        bodies.append("weigh")
        raise RuntimeError("no scales")

    def send() -> str:
        bodies.append("send")
        if is_broken[0]:
            raise ValueError("no route")
        return "sent"

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("pack", bodies.body("pack"))
        try:
            yield ctx.step("weigh", weigh)
        except RuntimeError:
            bodies.append("guessed")
        return (yield ctx.step("send", send))

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    with pytest.raises(ValueError, match="no route"):
        source.get_result(PATIENCE)
    is_broken[0] = False
    bodies.clear()

    fork = engine.fork_workflow(source.id)

    assert fork.get_result(PATIENCE) == "sent"
    assert bodies == ["guessed", "send"]
    with pytest.raises(ValueError, match="no route"):
        source.get_result(PATIENCE)
    with pytest.raises(InvalidArgument, match="has not failed"):
        engine.fork_workflow(fork.id)


@pytest.mark.covers(134)
def test_where_the_body_failed_by_itself_a_fork_keeps_all_of_its_steps(stage: Stage, paint: Paint) -> None:
    bodies, is_broken = Bodies(), [True]

    @paint
    def job(ctx: Any) -> Any:
        value = yield ctx.step("one", bodies.body("one", "one"))
        if is_broken[0]:
            raise ValueError("a bug")
        return value

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    with pytest.raises(ValueError, match="a bug"):
        source.get_result(PATIENCE)
    is_broken[0] = False

    assert engine.fork_workflow(source.id).get_result(PATIENCE) == "one"
    assert bodies == ["one"]


@pytest.mark.covers(133)
def test_a_fork_goes_to_the_queue_and_gets_the_timeout_that_are_given(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    engine = stage.make_engine()
    engine.register("job", make_job(paint, bodies))
    engine.register_queue(WorkflowQueue("wide", partition_queue=True))
    engine.launch()
    source = engine.run_workflow("job", options=WorkflowOptions(timeout=3600))
    source.get_result(PATIENCE)

    fork = engine.fork_workflow(source.id, 2, queue="wide", partition_key="p", timeout=600, workflow_id="chosen")
    plain = engine.fork_workflow(source.id, 2)

    fork.get_result(PATIENCE), plain.get_result(PATIENCE)
    row, other = stage.row("chosen"), stage.row(plain)
    assert (row.queue, row.partition_key, row.timeout_ms) == ("wide", "p", 600_000)
    assert (other.queue, other.partition_key, other.timeout_ms) == (INTERNAL_QUEUE, None, None)
    assert row.app_version == other.app_version == stage.row(source).app_version


def test_an_id_leads_to_the_fork_that_has_it_already(stage: Stage, paint: Paint) -> None:
    engine = stage.launch(make_job(paint, Bodies()))
    source, other = engine.run_workflow("job"), engine.run_workflow("job", "other")
    source.get_result(PATIENCE), other.get_result(PATIENCE)

    first = engine.fork_workflow(source.id, 2, workflow_id="once")
    again = engine.fork_workflow(source.id, 3, workflow_id="once")

    assert first.id == again.id == "once"
    assert first.get_result(PATIENCE) == again.get_result(PATIENCE)
    for taken in ("once", source.id):
        with pytest.raises(WorkflowConflict, match=taken):
            engine.fork_workflow(other.id, 2, workflow_id=taken)


@pytest.mark.covers(130)
def test_of_many_those_that_are_gone_or_have_not_failed_are_passed_by(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any, fails: bool) -> Any:
        yield ctx.step("one", lambda: "one")
        if fails:
            raise ValueError("a bug")

    engine = stage.launch(job)
    good, bad = engine.run_workflow("job", False), engine.run_workflow("job", True)
    good.get_result(PATIENCE)
    eventually(lambda: stage.row(bad).status is Status.ERROR)

    all_of_them = engine.fork_workflow(["nobody", bad.id, good.id, bad.id], 2)
    failed = engine.fork_workflow(["nobody", bad.id, good.id])

    assert [stage.row(fork).forked_from for fork in all_of_them] == [bad.id, good.id]
    assert [stage.row(fork).forked_from for fork in failed] == [bad.id]
    assert engine.fork_workflow([], 1) == engine.fork_workflow([]) == []


def test_a_running_workflow_is_forked_and_both_come_to_their_end(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold() -> str:
        bodies.append("hold")
        assert gate.wait(PATIENCE)
        return "held"

    @paint
    def job(ctx: Any) -> Any:
        one = yield ctx.step("one", bodies.body("one"))
        return [one, (yield ctx.step("hold", hold))]

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    eventually(lambda: "hold" in bodies)

    fork = engine.fork_workflow(source.id, 9)

    eventually(lambda: bodies.count("hold") == 2)
    gate.set()
    assert fork.get_result(PATIENCE) == source.get_result(PATIENCE)
    assert bodies == ["one", "hold", "hold"]


def test_what_came_back_in_any_order_comes_back_so_in_the_fork(stage: Stage) -> None:
    orders: list[list[str]] = []

    async def job(ctx: DurableContext) -> list[str]:
        order: list[str] = []
        orders.append(order)

        async def take(name: str, seconds: float) -> str:
            await ctx.step(name, asyncio.sleep, seconds)
            order.append(name)
            return str(await ctx.step(f"after {name}", lambda: name))

        both = await asyncio.gather(take("slow", 0.2), take("quick", 0.0))
        first = order[0]
        return [*both, await ctx.step(f"{first} was first", lambda: first)]

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    result = source.get_result(PATIENCE)

    forks = [engine.fork_workflow(source.id, place) for place in range(3, 7)]

    assert [fork.get_result(PATIENCE) for fork in forks] == [result] * 4
    assert orders == [["quick", "slow"]] * 5
    # With the slow one recorded and the quick one not, it is the other way about.
    assert engine.fork_workflow(source.id, 2).get_result(PATIENCE) == ["slow", "quick", "slow"]


@pytest.mark.parametrize("place", [2, 3, 4, 5])
def test_a_fork_behind_a_sleep_does_not_sleep_again(stage: Stage, paint: Paint, place: int) -> None:
    bodies = Bodies()

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(0.3)
        now = yield ctx.now()
        return now.isoformat()

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    result = source.get_result(PATIENCE)

    fork = engine.fork_workflow(source.id, place)

    again = fork.get_result(PATIENCE)
    assert (again == result) == (place == 5)
    assert again >= result
    # The instant of the source's sleep is the fork's where it was recorded before the place.
    assert (stage.history(fork)[2].output == stage.history(source)[2].output) == (place > 2)
    assert bodies == ["one"]


def test_a_timeout_of_the_body_ends_in_the_fork_where_it_ended_in_the_source(stage: Stage) -> None:
    async def job(ctx: DurableContext) -> str:
        await ctx.step("before", lambda: None)
        try:
            async with asyncio.timeout(0.3):
                await ctx.step("within", asyncio.sleep, 0.0)
                await ctx.sleep(3600)
        except TimeoutError:
            return str(await ctx.step("late", lambda: "late"))
        return "in time"

    engine = stage.launch(job, park_after_seconds=7200)
    source = engine.run_workflow("job")
    assert source.get_result(PATIENCE) == "late"
    assert stage.names(source)[4] == "durust.sleep.cut"

    # At the sleep, at the record of its being cut short, and behind it.
    forks = [engine.fork_workflow(source.id, place) for place in (3, 4, 5)]

    assert [fork.get_result(PATIENCE) for fork in forks] == ["late"] * 3
    assert [stage.names(fork) for fork in forks] == [stage.names(source)] * 3


def test_a_patch_before_the_place_stays_and_one_behind_it_is_asked_anew(stage: Stage, paint: Paint) -> None:
    is_new = [False]

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        if is_new[0] and (yield ctx.patch("mended")):
            return (yield ctx.step("new", lambda: "new"))
        return (yield ctx.step("old", lambda: "old"))

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    assert source.get_result(PATIENCE) == "old"
    is_new[0] = True

    ways = [engine.fork_workflow(source.id, place).get_result(PATIENCE) for place in (3, 2, 1)]
    newer = engine.fork_workflow(source.id, 2)
    newest = [engine.fork_workflow(newer.id, place).get_result(PATIENCE) for place in (4, 3, 2)]

    assert (ways, newest) == (["old", "new", "new"], ["new"] * 3)


def test_what_cannot_be_meant_is_refused(stage: Stage, paint: Paint) -> None:
    engine = stage.launch(make_job(paint, Bodies()))
    source = engine.run_workflow("job")
    source.get_result(PATIENCE)
    fork: Any = engine.fork_workflow

    with pytest.raises(WorkflowNotFound, match="nobody"):
        fork("nobody", 1)
    with pytest.raises(WorkflowNotFound, match="nobody"):
        fork("nobody")
    with pytest.raises(QueueNotFound):
        fork(source.id, 1, queue="nowhere")
    for step in (0, -1, True, "1", 2**31):
        with pytest.raises(InvalidArgument, match="start_step"):
            fork(source.id, step)
    for wrong in ({"partition_key": "p"}, {"timeout": 0}, {"app_version": ""}, {"replacement_children": ["a"]}):
        with pytest.raises(InvalidArgument):
            fork(source.id, 1, **wrong)
    with pytest.raises(InvalidArgument, match="several"):
        fork([source.id], 1, workflow_id="one")
    with pytest.raises(InvalidArgument):
        fork(5, 1)
    with pytest.raises(NotLaunched):
        DurableEngine(stage.make_line()).fork_workflow("a", 1)


def test_a_body_cannot_fork_because_it_would_fork_again(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        engine.fork_workflow("anybody", 1)

    engine = stage.launch(job)

    with pytest.raises(InvalidArgument, match="do it in a step"):
        engine.start("job")


def test_each_twin_and_a_client_fork_alike(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    engine = stage.launch(make_job(paint, bodies))
    source = engine.run_workflow("job")
    result = source.get_result(PATIENCE)

    async def awaited(target: Any) -> list[Any]:
        one = await target.aio.fork_workflow(source.id, 3)
        many = await target.aio.fork_workflow([source.id], 4)
        return [await fork.aio.get_result(PATIENCE) for fork in (one, *many)]

    assert asyncio.run(awaited(engine)) == [result] * 2
    with DurableClient(stage.make_line()) as client:
        assert asyncio.run(awaited(client)) == [result] * 2
        assert client.fork_workflow(source.id, 5, queue="_dbos_internal_queue").get_result(PATIENCE) == result
        with pytest.raises(WorkflowNotFound):
            client.fork_workflow("nobody", 2)


@pytest.mark.covers(103, 112)
def test_what_the_source_received_and_published_before_the_place_is_the_forks_too(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.set_event("stage", "begun")
        first = yield ctx.recv("in", PATIENCE, type=str)
        yield ctx.set_event("stage", first)
        yield ctx.write_stream("log", first)
        second = yield ctx.recv("in", PATIENCE, type=str)
        yield ctx.set_event("stage", second)
        yield ctx.write_stream("log", second)
        yield ctx.close_stream("log")
        return [first, second]

    engine = stage.launch(job)
    source = engine.run_workflow("job")
    engine.send(source.id, "one", topic="in")
    engine.send(source.id, "two", topic="in")
    assert source.get_result(PATIENCE) == ["one", "two"]
    places = {place: name for place, name in stage.names(source).items() if name in {"DBOS.recv", "DBOS.setEvent"}}
    *_, second_recv = [place for place, name in places.items() if name == "DBOS.recv"]

    fork = engine.fork_workflow(source.id, second_recv)

    assert (engine.get_events(fork.id), engine.get_streams(fork.id)) == ({"stage": "one"}, {"log": ["one"]})
    engine.send(fork.id, "three", topic="in")
    assert fork.get_result(PATIENCE) == ["one", "three"]
    assert (engine.get_events(fork.id), engine.get_streams(fork.id)["log"][:2]) == (
        {"stage": "three"},
        ["one", "three"],
    )
    assert engine.get_events(source.id) == {"stage": "two"}


@pytest.mark.covers(127)
def test_the_children_of_the_source_stay_or_give_way_to_others(stage: Stage, paint: Paint) -> None:
    bodies, is_broken = Bodies(), [True]

    def weigh(parcel: str) -> str:
        bodies.append(parcel)
        if is_broken[0] and parcel == "lamp":
            raise ValueError("no scales")
        return f"{parcel} weighs 3"

    @paint
    def child(ctx: Any, parcel: str) -> Any:
        return (yield ctx.step("weigh", weigh, parcel))

    @paint
    def family(ctx: Any) -> Any:
        lamp = yield ctx.start_workflow("child", "lamp")
        book = yield ctx.start_workflow("child", "book")
        return [(yield book.get_result()), (yield lamp.get_result())]

    engine = stage.launch(child, family)
    source = engine.run_workflow("family")
    with pytest.raises(ValueError, match="no scales"):
        source.get_result(PATIENCE)
    is_broken[0] = False
    lamp, book = (step.child_id or "" for step in engine.list_steps(source.id)[:2])

    same = engine.fork_workflow(source.id)
    mended = engine.fork_workflow(lamp)
    mended.get_result(PATIENCE)
    other = engine.fork_workflow(source.id, replacement_children={lamp: mended.id})
    anew = engine.fork_workflow(source.id, 2)

    with pytest.raises(ValueError, match="no scales"):
        same.get_result(PATIENCE)
    assert other.get_result(PATIENCE) == ["book weighs 3", "lamp weighs 3"]
    assert [step.child_id for step in engine.list_steps(other.id)[:2]] == [mended.id, book]
    with pytest.raises(ValueError, match="no scales"):
        anew.get_result(PATIENCE)
    # Only what a fork came to without a record was done again.
    assert sorted(bodies) == ["book", "book", "lamp", "lamp"]
    assert engine.list_steps(anew.id)[1].child_id == f"{anew.id}-2"
