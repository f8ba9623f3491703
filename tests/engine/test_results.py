"""What a workflow returns or raises reaches everybody who asks, and one id runs once."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    InvalidArgument,
    ListFilter,
    RemoteError,
    SerializationError,
    Status,
    SyncDurableContext,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowNotRegistered,
    WorkflowOptions,
)
from durust.model.writes import INTERNAL_QUEUE
from tests.conformance.builders import start
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Order:
    customer: str
    placed: datetime
    amounts: tuple[int, ...]


class OutOfStock(Exception):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(item, left)
        self.item, self.left = item, left


def noted(bodies: list[str], what: str, value: int | None = None) -> int:
    """Note that a body ran; return *value*, or how many have run."""
    bodies.append(what)
    return len(bodies) if value is None else value


@pytest.mark.covers(1)
def test_a_workflow_runs_its_steps_and_returns(stage: Stage, paint: Paint) -> None:
    bodies: list[str] = []

    @paint
    def add(ctx: Any, one: int, other: int) -> Any:
        first = yield ctx.step("first", partial(noted, bodies, "first", one))
        second = yield ctx.step("second", partial(noted, bodies, "second", other))
        return first + second

    engine = stage.launch(add)

    assert engine.start("add", 2, other=3) == 5
    assert bodies == ["first", "second"]


@pytest.mark.covers(180)
def test_a_typed_argument_and_result_come_back_as_what_they_were(stage: Stage) -> None:
    order = Order("Ada", datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC), (1, 2))

    def keep(_: SyncDurableContext, order: Order) -> Order:
        assert isinstance(order, Order)
        return order

    engine = stage.launch(keep)
    handle = engine.run_workflow("keep", order)

    assert handle.get_result(PATIENCE) == order
    assert engine.retrieve_workflow(handle.id).get_result(PATIENCE) == order


def test_a_recovered_handle_rebuilds_the_result_as_declared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order("Ada", datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC), (1, 2))

    def keep(_: SyncDurableContext, order: Order) -> Order:
        return order

    engine = stage.launch(keep)
    handle = engine.run_workflow("keep", order)
    monkeypatch.setattr(engine._live("recover"), "recover", lambda: (handle.id,))

    [recovered] = engine.recover()

    assert recovered.get_result(PATIENCE) == order


@pytest.mark.covers(7)
def test_nothing_comes_back_as_nothing(stage: Stage, paint: Paint) -> None:
    @paint
    def idle(ctx: Any) -> Any:
        return (yield ctx.step("nothing", lambda: None))

    assert stage.launch(idle).start("idle") is None


@pytest.mark.covers(8)
def test_an_error_comes_back_with_its_type_and_arguments(stage: Stage, paint: Paint) -> None:
    @paint
    def sell(ctx: Any) -> Any:
        yield ctx.step("look", lambda: None)
        raise OutOfStock("lamp", 2)

    engine = stage.launch(sell)
    handle = engine.run_workflow("sell")

    with pytest.raises(OutOfStock) as raised:
        handle.get_result(PATIENCE)
    assert (raised.value.item, raised.value.left) == ("lamp", 2)
    with pytest.raises(OutOfStock):
        engine.retrieve_workflow(handle.id).get_result(PATIENCE)
    assert handle.get_status().status is Status.ERROR


@pytest.mark.covers(9)
def test_an_error_that_cannot_be_rebuilt_comes_back_readable(stage: Stage) -> None:
    def fail(_: SyncDurableContext) -> None:
        class Local(Exception):
            pass

        raise Local("of no module")

    with pytest.raises(RemoteError, match="of no module"):
        stage.launch(fail).start("fail")


class Locked(Exception):
    """Holds what no record can hold."""

    def __init__(self) -> None:
        super().__init__("no way in", threading.Lock())


@pytest.mark.covers(9)
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_an_error_that_cannot_be_written_comes_back_readable(stage: Stage, paint: Paint, serializer: str) -> None:
    @paint
    def fail(ctx: Any) -> Any:
        yield ctx.step("nothing", lambda: None)
        raise Locked

    engine = stage.make_engine(serializer=serializer)
    engine.register("fail", fail)
    engine.launch()
    handle = engine.run_workflow("fail")

    with pytest.raises(Exception, match="no way in"):
        handle.get_result(PATIENCE)
    assert stage.row(handle).status is Status.ERROR


@pytest.mark.covers(10)
def test_a_result_that_cannot_be_written_is_the_workflows_error(stage: Stage, paint: Paint) -> None:
    @paint
    def lock(ctx: Any) -> Any:
        yield ctx.step("nothing", lambda: None)
        return threading.Lock()

    engine = stage.launch(lock)
    handle = engine.run_workflow("lock")

    with pytest.raises(SerializationError):
        handle.get_result(PATIENCE)
    assert handle.get_status().status is Status.ERROR


@pytest.mark.covers(180)
def test_arguments_that_cannot_be_read_are_the_workflows_error(stage: Stage, paint: Paint) -> None:
    @paint
    def add(ctx: Any, number: int) -> Any:
        yield ctx.step("nothing", lambda: None)
        return number

    engine = stage.launch(add)
    stage.commit(start("bad", name="add", queue=INTERNAL_QUEUE, inputs='{"positionalArgs":["many"]}'))

    with pytest.raises(SerializationError):
        engine.retrieve_workflow("bad").get_result(PATIENCE)


@pytest.mark.covers(180)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_stored(stage: Stage) -> None:
    def add(_: SyncDurableContext, number: int) -> int:
        return number

    engine = stage.launch(add)

    with pytest.raises(TypeError, match="add"):
        engine.run_workflow("add")
    with pytest.raises(SerializationError):
        engine.run_workflow("add", "many")
    assert engine.list_workflows() == []


@pytest.mark.covers(1)
def test_the_same_id_runs_once(stage: Stage, paint: Paint) -> None:
    bodies: list[str] = []

    @paint
    def once(ctx: Any) -> Any:
        return (yield ctx.step("body", partial(noted, bodies, "ran")))

    engine = stage.launch(once)
    options = WorkflowOptions(workflow_id="the-one")

    assert engine.start("once", options=options) == 1
    assert engine.start("once", options=options) == 1
    assert bodies == ["ran"]


@pytest.mark.covers(5)
def test_the_same_id_from_many_threads_runs_once_and_all_get_the_result(stage: Stage, paint: Paint) -> None:
    bodies: list[str] = []

    @paint
    def once(ctx: Any) -> Any:
        return (yield ctx.step("body", partial(noted, bodies, "ran")))

    engine = stage.launch(once)

    def start(number: int) -> Any:
        handle = engine.run_workflow("once", options=WorkflowOptions(workflow_id=f"id-{number // 8}"))
        return handle.get_result(PATIENCE)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(start, range(64)))

    assert len(bodies) == 8
    assert all(len(set(results[number : number + 8])) == 1 for number in range(0, 64, 8))


@pytest.mark.covers(5)
def test_the_same_id_on_two_engines_runs_once(stage: Stage) -> None:
    bodies: list[str] = []

    def once(ctx: SyncDurableContext) -> int:
        return ctx.step("body", partial(noted, bodies, "ran"))

    engines = [stage.launch(once), stage.launch(once)]
    options = WorkflowOptions(workflow_id="the-one")

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda engine: engine.start("once", options=options), engines))

    assert results == [1, 1]
    assert bodies == ["ran"]


@pytest.mark.covers(2)
def test_the_same_id_for_another_workflow_is_a_conflict(stage: Stage) -> None:
    def one(_: SyncDurableContext) -> None: ...

    def other(_: SyncDurableContext) -> None: ...

    engine = stage.launch(one, other)
    options = WorkflowOptions(workflow_id="taken")
    engine.start("one", options=options)

    with pytest.raises(WorkflowConflict, match="taken"):
        engine.run_workflow("other", options=options)


@pytest.mark.covers(6)
def test_an_unknown_workflow_is_named(stage: Stage) -> None:
    engine = stage.launch()

    with pytest.raises(WorkflowNotRegistered, match="missing"):
        engine.run_workflow("missing")
    with pytest.raises(WorkflowNotFound, match="no-such-id"):
        engine.retrieve_workflow("no-such-id")


@pytest.mark.covers(4)
@pytest.mark.parametrize("workflow_id", ["", "a\0b", "\ud800", "x" * 513])
def test_an_id_that_cannot_be_stored_is_refused(workflow_id: str) -> None:
    with pytest.raises(InvalidArgument, match="workflow_id"):
        WorkflowOptions(workflow_id=workflow_id)


def test_a_result_that_is_not_there_in_time_leaves_the_workflow_running(stage: Stage) -> None:
    gate = threading.Event()

    def wait(ctx: SyncDurableContext) -> bool:
        return ctx.step("wait", lambda: gate.wait(PATIENCE))

    handle = stage.launch(wait).run_workflow("wait")

    with pytest.raises(TimeoutError, match=handle.id):
        handle.get_result(0.05)
    gate.set()
    assert handle.get_result(PATIENCE) is True


def test_a_timeout_is_a_duration_like_any_other(stage: Stage) -> None:
    gate = threading.Event()

    def wait(ctx: SyncDurableContext) -> bool:
        return ctx.step("wait", lambda: gate.wait(PATIENCE))

    handle = stage.launch(wait).run_workflow("wait")

    with pytest.raises(TimeoutError, match=r"did not end within 0\.05 s; it goes on"):
        handle.get_result(timedelta(milliseconds=50))
    gate.set()
    assert handle.get_result(1e300) is True
    for timeout in (-1, math.nan, "5"):
        with pytest.raises(InvalidArgument, match="timeout="):
            handle.get_result(timeout)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="timeout="):
            asyncio.run(handle.aio.get_result(timeout))  # type: ignore[arg-type]


@pytest.mark.covers(15)
def test_a_handle_is_shared_by_threads_and_tasks_and_read_again(stage: Stage, paint: Paint) -> None:
    gate = threading.Event()

    @paint
    def wait(ctx: Any) -> Any:
        return (yield ctx.step("wait", lambda: gate.wait(PATIENCE)))

    handle = stage.launch(wait).run_workflow("wait")

    async def await_often() -> list[Any]:
        return await asyncio.gather(*(handle.aio.get_result(PATIENCE) for _ in range(5)), _await(handle))

    with ThreadPoolExecutor(6) as pool:
        blocked = [pool.submit(handle.get_result, PATIENCE) for _ in range(5)]
        awaited = pool.submit(lambda: asyncio.run(await_often()))
        gate.set()
        assert [one.result() for one in blocked] == [True] * 5
        assert awaited.result() == [True] * 6
    assert handle.get_result() is True


async def _await(handle: Any) -> Any:
    return await handle


def test_many_workflows_at_once_all_return(stage: Stage, paint: Paint) -> None:
    @paint
    def double(ctx: Any, number: int) -> Any:
        return (yield ctx.step("double", lambda: 2 * number))

    engine = stage.launch(double, slots=10)
    handles = [engine.run_workflow("double", number) for number in range(60)]

    assert [handle.get_result(PATIENCE) for handle in handles] == [2 * number for number in range(60)]


@pytest.mark.covers(171)
def test_the_list_shows_workflows_and_their_steps(stage: Stage, paint: Paint) -> None:
    @paint
    def twice(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        yield ctx.step("two", lambda: 2)

    engine = stage.launch(twice)
    handle = engine.run_workflow("twice")
    handle.get_result(PATIENCE)

    assert [row.workflow_id for row in engine.list_workflows(ListFilter(statuses=[Status.SUCCESS]))] == [handle.id]
    steps = engine.list_steps(handle.id)
    assert [(step.place, step.name, step.output) for step in steps] == [(1, "one", "1"), (2, "two", "2")]
    assert all((step.started_at_ms or 0) <= (step.completed_at_ms or 0) for step in steps)


@pytest.mark.covers(46)
def test_a_workflow_that_nobody_awaits_records_its_end_without_a_complaint(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: DurableContext) -> None:
        raise OutOfStock("lamp", 0)

    engine = stage.launch(fail)
    handle = engine.run_workflow("fail")

    eventually(lambda: stage.row(handle).status is Status.ERROR)
    engine.close()
    gc.collect()
    assert caplog.records == []


@pytest.mark.covers(179)
def test_what_json_wrote_is_read_where_pickle_is_chosen_now(stage: Stage, paint: Paint) -> None:
    order = {"customer": "Ada", "amounts": [1, 2]}
    seen: list[Any] = []

    @paint
    def keep(ctx: Any, order: Any) -> Any:
        seen.append((order, (yield ctx.step("look", lambda: order))))
        yield ctx.sleep(0.5)
        return order

    def launch(serializer: str, park_after_seconds: float) -> DurableEngine:
        engine = stage.make_engine(serializer=serializer, park_after_seconds=park_after_seconds)
        engine.register("keep", keep)
        engine.launch()
        return engine

    first = launch("json", 3600.0)
    ended = first.run_workflow("keep", order)
    ended.get_result(PATIENCE)
    left = first.run_workflow("keep", order)
    eventually(lambda: len(stage.history(left)) == 2)
    stage.crash(first)

    second = launch("pickle", 0.2)

    assert second.retrieve_workflow(ended.id).get_result(PATIENCE) == order
    assert second.retrieve_workflow(left.id).get_result(PATIENCE) == order
    assert seen == [(order, order)] * len(seen)
    assert stage.row(left).serialization == "portable_json"
    fresh = second.run_workflow("keep", order)
    assert fresh.get_result(PATIENCE) == order
    assert stage.row(fresh).serialization == "py_pickle"
