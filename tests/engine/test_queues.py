"""Queues keep their limits and their order, lose nothing and run everything once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    InvalidArgument,
    QueueDeduplicated,
    QueueNotFound,
    Settings,
    Status,
    SyncDurableContext,
    WorkflowOptions,
    WorkflowQueue,
    clock,
)
from durust.model.writes import INTERNAL_QUEUE, StoreQueue
from tests.conformance.conftest import open_provider
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, QUICK, Stage
from tests.support.gauge import Gauge
from tests.support.hintless import HintlessLine
from tests.support.line import Line
from tests.support.waiting import eventually

# So many rounds of the claimer are a fair chance to take what it must not.
ROUNDS = 3
# For thousands of workflows on a machine with more processes than cores.
MANY_SECONDS = 90.0


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    made = Gauge()
    yield made
    made.open()


def launch(
    stage: Stage,
    *workflows: Callable[..., Any],
    queues: Sequence[WorkflowQueue] = (),
    serves: Sequence[str] | None = None,
    line: Line | None = None,
    **settings: Any,
) -> DurableEngine:
    """Return a launched engine that declares *queues*, and serves those or only *serves*."""
    engine = DurableEngine(line or stage.make_line(), settings=Settings(**{**QUICK, **settings}), queues=serves)
    stage._engines.append(engine)
    for workflow in workflows:
        engine.register(workflow.__name__, workflow)
    for queue in queues:
        engine.register_queue(queue)
    engine.launch()
    return engine


def wait_for_rounds(stage: Stage, engine: DurableEngine) -> None:
    """Wait until the claimer has looked again a few times."""
    line = stage.line_of(engine)
    before = line.calls["claim"]
    eventually(lambda: line.calls["claim"] >= before + ROUNDS)


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


@pytest.mark.covers(74)
def test_a_queued_workflow_runs_and_keeps_its_queue(stage: Stage, paint: Paint) -> None:
    @paint
    def add(ctx: Any, one: int, other: int) -> Any:
        return (yield ctx.step("add", lambda: one + other))

    mail = WorkflowQueue("mail")
    engine = launch(stage, add, queues=[mail])

    handles = [engine.enqueue(mail, "add", 1, other=2), engine.enqueue("mail", "add", 3, 4)]

    assert [handle.get_result(PATIENCE) for handle in handles] == [3, 7]
    assert [stage.row(handle).queue for handle in handles] == ["mail", "mail"]


def test_worker_concurrency_holds(stage: Stage, paint: Paint, gauge: Gauge) -> None:
    @paint
    def visit(ctx: Any) -> Any:
        yield ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, queues=[WorkflowQueue("mail", worker_concurrency=3)])
    handles = engine.enqueue_many("mail", "visit", [()] * 12)
    eventually(lambda: gauge.now == 3)
    wait_for_rounds(stage, engine)

    gauge.open()

    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 12
    assert gauge.peak == 3


@pytest.mark.covers(76, 77)
def test_worker_concurrency_counts_what_each_engine_runs_itself(stage: Stage, paint: Paint) -> None:
    gauges = [Gauge(), Gauge()]

    def make_visit(gauge: Gauge) -> Callable[..., Any]:
        @paint
        def visit(ctx: Any) -> Any:
            yield ctx.step("visit", gauge.visit)

        return visit

    mail = WorkflowQueue("mail", worker_concurrency=2)
    engines = [launch(stage, make_visit(gauge), queues=[mail]) for gauge in gauges]

    handles = engines[0].enqueue_many(mail, "visit", [()] * 12)

    eventually(lambda: [gauge.now for gauge in gauges] == [2, 2])
    for engine in engines:
        wait_for_rounds(stage, engine)
    for gauge in gauges:
        gauge.open()
    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 12
    assert [gauge.peak for gauge in gauges] == [2, 2]


def test_worker_concurrency_of_one_queue_leaves_the_others_free(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    queues = [WorkflowQueue("narrow", worker_concurrency=1), WorkflowQueue("wide")]
    engine = launch(stage, visit, double, queues=queues)
    narrow = engine.enqueue_many("narrow", "visit", [()] * 3)
    eventually(lambda: gauge.now == 1)

    wide = engine.enqueue_many("wide", "double", [(number,) for number in range(5)])

    assert [handle.get_result(PATIENCE) for handle in wide] == [0, 2, 4, 6, 8]
    gauge.open()
    assert [handle.get_result(PATIENCE) for handle in narrow] == [None] * 3
    assert gauge.peak == 1


def test_the_slots_bound_queued_and_direct_starts_together(stage: Stage, paint: Paint, gauge: Gauge) -> None:
    @paint
    def visit(ctx: Any) -> Any:
        yield ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, queues=[WorkflowQueue("mail")], slots=4)

    def start(number: int) -> Any:
        return engine.enqueue("mail", "visit") if number % 2 else engine.run_workflow("visit")

    with ThreadPoolExecutor(6) as pool:
        handles = list(pool.map(start, range(24)))
    eventually(lambda: gauge.now == 4)
    gauge.open()

    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 24
    assert gauge.peak == 4


@pytest.mark.covers(100)
def test_two_thousand_that_are_queued_together_all_run_once(stage: Stage) -> None:
    ran: Counter[int] = Counter()
    mutex = threading.Lock()

    def count(_: SyncDurableContext, number: int) -> None:
        with mutex:
            ran[number] += 1

    engine = launch(stage, count, queues=[WorkflowQueue("mail")], slots=50)

    handles = engine.enqueue_many("mail", "count", [(number,) for number in range(2000)])

    eventually(lambda: len(ran) == 2000, MANY_SECONDS)
    eventually(lambda: len(stage.rows(statuses=[Status.SUCCESS], limit=3000)) == 2000, MANY_SECONDS)
    assert len({handle.id for handle in handles}) == 2000
    assert ran == dict.fromkeys(range(2000), 1)


def test_options_of_many_are_given_one_by_one(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])
    options = [WorkflowOptions(workflow_id=f"run-{number}") for number in range(3)]

    handles = engine.enqueue_many("mail", "double", [(1,), (2,), (3,)], options=options)

    assert [handle.id for handle in handles] == ["run-0", "run-1", "run-2"]
    assert [handle.get_result(PATIENCE) for handle in handles] == [2, 4, 6]
    with pytest.raises(InvalidArgument, match="one entry for each of the 1 argument tuples"):
        engine.enqueue_many("mail", "double", [(1,)], options=options)


@pytest.mark.covers(80)
def test_lower_priorities_go_first_and_equal_ones_in_their_order(stage: Stage, gauge: Gauge) -> None:
    order: list[str] = []

    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    def note(_: SyncDurableContext, name: str) -> None:
        order.append(name)

    engine = launch(stage, visit, note, queues=[WorkflowQueue("mail")], slots=1)
    engine.run_workflow("visit")
    eventually(lambda: gauge.now == 1)
    priorities = [5, 0, 5, 1, 0, 5, 1, 0]
    handles = [
        engine.enqueue("mail", "note", f"{priority}-{number}", options=WorkflowOptions(priority=priority))
        for number, priority in enumerate(priorities)
    ]

    gauge.open()

    for handle in handles:
        handle.get_result(PATIENCE)
    assert order == sorted(f"{priority}-{number}" for number, priority in enumerate(priorities))


@pytest.mark.covers(83)
def test_a_deduplication_id_admits_one_workflow_until_it_ends(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, queues=[WorkflowQueue("mail"), WorkflowQueue("other")])
    options = WorkflowOptions(dedup_id="m-7")
    first = engine.enqueue("mail", "visit", options=options)

    with pytest.raises(QueueDeduplicated, match=first.id) as raised:
        engine.enqueue("mail", "visit", options=options)

    assert (raised.value.queue, raised.value.dedup_id) == ("mail", "m-7")
    elsewhere = engine.enqueue("other", "visit", options=options)
    gauge.open()
    first.get_result(PATIENCE)
    elsewhere.get_result(PATIENCE)
    again = engine.enqueue("mail", "visit", options=options)
    again.get_result(PATIENCE)
    assert again.id != first.id


@pytest.mark.covers(64)
def test_of_many_that_ask_for_one_deduplication_id_one_is_admitted(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, queues=[WorkflowQueue("mail")])

    def ask(_: int) -> str | None:
        try:
            return engine.enqueue("mail", "visit", options=WorkflowOptions(dedup_id="m-7")).id
        except QueueDeduplicated:
            return None

    with ThreadPoolExecutor(8) as pool:
        admitted = list(filter(None, pool.map(ask, range(24))))

    assert [row.workflow_id for row in stage.rows()] == admitted
    assert len(admitted) == 1


def test_a_deduplication_id_without_a_queue_is_refused(stage: Stage) -> None:
    engine = launch(stage, double)

    with pytest.raises(InvalidArgument, match="dedup_id"):
        engine.run_workflow("double", 1, options=WorkflowOptions(dedup_id="m-7"))

    assert stage.rows() == []


@pytest.mark.covers(86)
def test_a_delayed_workflow_does_not_run_before_its_time(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])
    options = WorkflowOptions(delay=timedelta(milliseconds=400))

    queued = engine.enqueue("mail", "double", 1, options=options)
    direct = engine.run_workflow("double", 2, options=options)

    assert [handle.get_result(PATIENCE) for handle in (queued, direct)] == [2, 4]
    for row in (stage.row(queued), stage.row(direct)):
        # Both by the database's clock.
        assert (row.started_at_ms or 0) - row.created_at_ms >= 400


@pytest.mark.covers(86)
def test_a_delayed_workflow_waits_as_delayed(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])

    handle = engine.enqueue("mail", "double", 1, options=WorkflowOptions(delay=600))

    wait_for_rounds(stage, engine)
    assert handle.get_status().status is Status.DELAYED


def test_an_unknown_queue_is_named_and_nothing_is_stored(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])

    with pytest.raises(QueueNotFound, match=r"'male'.*mail"):
        engine.enqueue("male", "double", 1)
    with pytest.raises(QueueNotFound, match="'male'"):
        engine.enqueue_many("male", "double", [(1,)])

    assert stage.rows() == []


def test_an_engine_that_should_serve_an_unknown_queue_is_not_launched(stage: Stage) -> None:
    with pytest.raises(QueueNotFound, match="'male'"):
        launch(stage, double, serves=["male"])


def test_a_queue_that_was_declared_elsewhere_is_accepted_and_waits_for_its_server(stage: Stage) -> None:
    stage.commit(StoreQueue("far", None, "durust"))
    near = launch(stage, double)

    handle = near.enqueue("far", "double", 4)

    wait_for_rounds(stage, near)
    assert handle.get_status().status is Status.ENQUEUED
    launch(stage, double, serves=["far"])
    assert handle.get_result(PATIENCE) == 8


@pytest.mark.covers(92)
def test_only_the_chosen_queues_and_the_internal_one_are_served(stage: Stage) -> None:
    queues = [WorkflowQueue("one"), WorkflowQueue("two")]
    engine = launch(stage, double, queues=queues, serves=["one"])
    left = engine.enqueue("two", "double", 1)

    served = engine.enqueue("one", "double", 2)
    internal = engine.run_workflow("double", 3, options=WorkflowOptions(delay=0.01))

    assert [handle.get_result(PATIENCE) for handle in (served, internal)] == [4, 6]
    assert stage.row(internal).queue == INTERNAL_QUEUE
    wait_for_rounds(stage, engine)
    assert left.get_status().status is Status.ENQUEUED


def test_a_direct_start_without_a_free_slot_is_queued_and_runs(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, slots=1)
    first = engine.run_workflow("visit")
    eventually(lambda: gauge.now == 1)

    second = engine.run_workflow("visit")

    assert second.get_status().status is Status.ENQUEUED
    gauge.open()
    assert [handle.get_result(PATIENCE) for handle in (first, second)] == [None, None]
    assert gauge.peak == 1


@pytest.mark.covers(3)
def test_an_id_that_exists_on_another_queue_answers_that_workflow(stage: Stage) -> None:
    ran: list[int] = []

    def once(_: SyncDurableContext, number: int) -> int:
        ran.append(number)
        return number

    engine = launch(stage, once, queues=[WorkflowQueue("one"), WorkflowQueue("two")])
    options = WorkflowOptions(workflow_id="the-one")
    first = engine.enqueue("one", "once", 1, options=options)

    second = engine.enqueue("two", "once", 2, options=options)

    assert (first.id, second.id) == ("the-one", "the-one")
    assert [handle.get_result(PATIENCE) for handle in (first, second)] == [1, 1]
    assert stage.row("the-one").queue == "one"
    assert ran == [1]


@pytest.mark.covers(93)
def test_an_idle_engine_does_not_hammer_the_database(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")], idle_poll_seconds=0.1, audit_seconds=600.0)
    line = stage.line_of(engine)
    engine.enqueue("mail", "double", 1).get_result(PATIENCE)
    begun, before = clock.monotonic(), Counter(line.calls)

    eventually(lambda: line.calls["claim"] - before["claim"] >= 12)

    took = clock.monotonic() - begun
    calls = Counter(line.calls) - before
    # A poll may come a quarter early; on a file each commit is also a hint that something changed.
    assert calls["claim"] <= took / 0.075 + calls["commit"] + 2
    assert calls["workflows"] <= 1


def make_hintless_line(stage: Stage) -> HintlessLine:
    line = HintlessLine(stage.provider if stage.url.startswith("memory:") else open_provider(stage.url))
    stage._lines.append(line)
    return line


def test_a_lost_hint_costs_only_the_poll(stage: Stage) -> None:
    queues = [WorkflowQueue("mail"), WorkflowQueue("other")]
    asking_line = make_hintless_line(stage)
    asking = launch(stage, double, queues=queues, serves=["other"], line=asking_line)
    launch(stage, double, queues=queues, serves=["mail"], line=make_hintless_line(stage))

    handles = [asking.enqueue("mail", "double", number) for number in range(3)]

    assert [handle.get_result(PATIENCE) for handle in handles] == [0, 2, 4]
    eventually(lambda: asking_line.calls["announce"])


@pytest.mark.covers(95)
def test_worker_concurrency_holds_for_what_is_recovered(stage: Stage, paint: Paint, gauge: Gauge) -> None:
    before = Gauge()
    gauges = [before]

    @paint
    def visit(ctx: Any) -> Any:
        yield ctx.step("visit", gauges[-1].visit)

    mail = WorkflowQueue("mail", worker_concurrency=2)
    engine = launch(stage, visit, queues=[mail])
    handles = engine.enqueue_many(mail, "visit", [()] * 6)
    eventually(lambda: before.now == 2)
    gauges.append(gauge)
    stage.crash(engine)
    before.open()

    again = launch(stage, visit, queues=[mail])
    eventually(lambda: gauge.now == 2)
    wait_for_rounds(stage, again)
    gauge.open()

    assert [again.retrieve_workflow(handle.id).get_result(PATIENCE) for handle in handles] == [None] * 6
    assert gauge.peak == 2


@pytest.mark.covers(99)
def test_a_queued_async_workflow_outlives_the_garbage_collector(stage: Stage) -> None:
    waits: list[weakref.ref[asyncio.Future[str]]] = []

    async def wait() -> str:
        # Nobody but the workflow's own task holds what it waits for, nor the task.
        future = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(future))
        return str(await future)

    async def work(ctx: DurableContext) -> str:
        return await ctx.step("wait", wait)

    engine = launch(stage, work, queues=[WorkflowQueue("mail")])
    handle = engine.enqueue("mail", "work")
    eventually(lambda: waits)

    gc.collect()

    future = waits[0]()
    assert future is not None
    future.get_loop().call_soon_threadsafe(future.set_result, "alive")
    assert handle.get_result(PATIENCE) == "alive"
