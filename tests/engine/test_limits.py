"""The limits of queues hold over engines, and change while work waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableEngine,
    InvalidArgument,
    QueueNotFound,
    QueueRow,
    RateLimiter,
    Status,
    SyncDurableContext,
    WorkflowOptions,
    WorkflowQueue,
)
from durust.model.schedule_writes import SCHEDULE_QUEUE
from durust.model.writes import INTERNAL_QUEUE
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.engine.test_queues import launch, wait_for_rounds
from tests.support.gauge import Gauge
from tests.support.waiting import eventually


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    made = Gauge()
    yield made
    made.open()


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


@pytest.mark.covers(75)
def test_global_concurrency_holds_over_engines(stage: Stage, paint: Paint, gauge: Gauge) -> None:
    @paint
    def visit(ctx: Any) -> Any:
        yield ctx.step("visit", gauge.visit)

    queues = [WorkflowQueue("mail", global_concurrency=3)]
    engines = [launch(stage, visit, queues=queues) for _ in range(2)]
    handles = engines[0].enqueue_many("mail", "visit", [()] * 12)
    eventually(lambda: gauge.now == 3)
    for engine in engines:
        wait_for_rounds(stage, engine)

    gauge.open()

    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 12
    assert gauge.peak == 3


@pytest.mark.covers(95)
def test_a_run_that_is_taken_over_keeps_to_the_limit(stage: Stage, paint: Paint, gauge: Gauge) -> None:
    @paint
    def visit(ctx: Any) -> Any:
        yield ctx.step("visit", gauge.visit)

    queues = [WorkflowQueue("mail", global_concurrency=1)]
    first = launch(stage, visit, queues=queues)
    handles = first.enqueue_many("mail", "visit", [()] * 3)
    eventually(lambda: gauge.now == 1)
    second = launch(stage, visit, queues=queues)

    stage.retire(first.executor_id)

    # The body of the one that was declared dead is still there: what counts are the shares of living executors.
    eventually(lambda: gauge.peak == 2)
    gauge.open()
    results = [second.retrieve_workflow(handle.id).get_result(PATIENCE) for handle in handles]
    assert results == [None] * 3
    assert gauge.peak == 2


def test_a_parked_run_leaves_its_share_to_others(stage: Stage, paint: Paint) -> None:
    began = threading.Semaphore(0)

    @paint
    def nap(ctx: Any) -> Any:
        yield ctx.step("begin", began.release)
        yield ctx.sleep(600)

    engine = launch(stage, nap, queues=[WorkflowQueue("beds", global_concurrency=1)])

    engine.enqueue_many("beds", "nap", [()] * 3)

    for _ in range(3):
        assert began.acquire(timeout=PATIENCE)
    eventually(lambda: {row.status for row in stage.rows(queues=["beds"])} == {Status.DELAYED})


@pytest.mark.covers(78)
def test_a_rate_spreads_starts_over_its_periods(stage: Stage, paint: Paint) -> None:
    @paint
    def note(ctx: Any) -> Any:
        yield ctx.step("note", lambda: None)

    queues = [WorkflowQueue("mail", rate_limiter=RateLimiter(limit=2, period=timedelta(seconds=0.5)))]
    engines = [launch(stage, note, queues=queues) for _ in range(2)]

    handles = engines[0].enqueue_many("mail", "note", [()] * 6)

    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 6
    # Nothing releases these rows, so each still carries the time of its only claim.
    starts = sorted(row.started_at_ms or 0 for row in stage.rows(queues=["mail"]))
    assert all(later - earlier >= 500 for earlier, later in zip(starts, starts[2:], strict=False))


@pytest.mark.covers(81)
def test_each_partition_has_a_limit_of_its_own(stage: Stage, paint: Paint) -> None:
    gauges = {"a": Gauge(), "b": Gauge()}

    @paint
    def visit(ctx: Any, key: str) -> Any:
        yield ctx.step("visit", gauges[key].visit)

    queue = WorkflowQueue("mail", partition_queue=True, partition_concurrency=2)
    engine = launch(stage, visit, queues=[queue])
    keys = ["a"] * 6 + ["b"] * 6
    options = [WorkflowOptions(partition_key=key) for key in keys]

    handles = engine.enqueue_many(queue, "visit", [(key,) for key in keys], options=options)

    eventually(lambda: [gauge.now for gauge in gauges.values()] == [2, 2])
    wait_for_rounds(stage, engine)
    for gauge in gauges.values():
        gauge.open()
    assert [handle.get_result(PATIENCE) for handle in handles] == [None] * 12
    assert [gauge.peak for gauge in gauges.values()] == [2, 2]


@pytest.mark.covers(90)
def test_a_changed_limit_needs_no_restart(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    # Nothing but the change itself wakes the claimer.
    engine = launch(
        stage, visit, queues=[WorkflowQueue("mail", global_concurrency=1)], idle_poll_seconds=60.0, sweep_seconds=60.0
    )
    engine.enqueue_many("mail", "visit", [()] * 8)
    eventually(lambda: gauge.now == 1)

    engine.set_queue("mail", global_concurrency=4)
    eventually(lambda: gauge.now == 4)
    changed = engine.set_queue("mail", global_concurrency=None, worker_concurrency=6)
    eventually(lambda: gauge.now == 6)

    assert (changed.global_concurrency, changed.worker_concurrency) == (None, 6)


@pytest.mark.covers(90)
def test_what_ran_before_the_first_limit_makes_room_when_it_ends(stage: Stage, gauge: Gauge) -> None:
    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    engine = launch(stage, visit, queues=[WorkflowQueue("mail")], audit_seconds=60.0)
    engine.enqueue_many("mail", "visit", [()] * 2)
    eventually(lambda: gauge.now == 2)

    engine.set_queue("mail", global_concurrency=2)
    handles = engine.enqueue_many("mail", "visit", [()] * 6)
    wait_for_rounds(stage, engine)
    assert gauge.peak == 2
    gauge.open()

    for handle in handles:
        handle.get_result(PATIENCE)
    assert gauge.peak == 2


@pytest.mark.covers(90)
def test_a_paused_queue_goes_on_when_it_is_resumed(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")], idle_poll_seconds=60.0, sweep_seconds=60.0)
    engine.pause_queue("mail")
    handle = engine.enqueue("mail", "double", 4)
    other = engine.run_workflow("double", 1)
    assert other.get_result(PATIENCE) == 2
    assert engine.get_queue("mail").is_paused
    assert handle.get_status().status is Status.ENQUEUED

    engine.resume_queue("mail")

    assert handle.get_result(PATIENCE) == 8


@pytest.mark.covers(90)
def test_a_client_administers_the_same_queues(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail", worker_concurrency=2)])
    with DurableClient(engine.database) as client:
        client.set_queue("late", rate_limiter=RateLimiter(5, 60), partition_queue=True, partition_concurrency=1)
        client.pause_queue("mail")

        assert engine.list_queues() == client.list_queues()
        assert engine.get_queue("late") == QueueRow(
            "late",
            rate_limit=5,
            rate_period_seconds=60.0,
            partition_queue=True,
            partition_concurrency=1,
            app_name="durust",
        )
        client.delete_queue("late")
        client.resume_queue("mail")

    assert [(queue.name, queue.is_paused) for queue in engine.list_queues()] == [("mail", False)]


@pytest.mark.covers(90)
def test_whose_definition_stands_is_the_declarations_choice(stage: Stage) -> None:
    first = launch(stage, double, queues=[WorkflowQueue("mail"), WorkflowQueue("post")])
    first.set_queue("mail", global_concurrency=7)
    first.set_queue("post", global_concurrency=7)

    launch(stage, double, queues=[WorkflowQueue("mail", on_conflict="keep"), WorkflowQueue("post")])

    assert {queue.name: queue.global_concurrency for queue in first.list_queues()} == {"mail": 7, "post": None}


def test_the_awaiting_view_administers_queues_too(stage: Stage) -> None:
    engine = launch(stage, double).aio

    async def administer() -> None:
        await engine.set_queue("mail", worker_concurrency=1)
        await engine.pause_queue("mail")

        assert (await engine.get_queue("mail")).is_paused
        await engine.resume_queue("mail")
        assert [queue.worker_concurrency for queue in await engine.list_queues()] == [1]
        await engine.delete_queue("mail")
        assert await engine.list_queues() == []

    asyncio.run(administer())


@pytest.mark.covers(68)
def test_what_an_engine_does_not_know_is_left_to_one_that_does(stage: Stage) -> None:
    def treble(_: SyncDurableContext, number: int) -> int:
        return 3 * number

    queues = [WorkflowQueue("mail", global_concurrency=1)]
    ignorant = launch(stage, double, queues=queues)
    with DurableClient(ignorant.database) as client:
        handle = client.enqueue("mail", "treble", 5)
        known = client.enqueue("mail", "double", 5)
        assert known.get_result(PATIENCE) == 10
        assert (handle.get_status().status, handle.get_status().attempts) == (Status.ENQUEUED, 0)

        launch(stage, treble, queues=queues)

        assert handle.get_result(PATIENCE) == 15


# Refusals ----------------------------------------------------------------------------------------------------------


def make_narrow(stage: Stage) -> DurableEngine:
    queues = [
        WorkflowQueue("plain", priority_enabled=False),
        WorkflowQueue("parts", partition_queue=True, partition_concurrency=1),
    ]
    return launch(stage, double, queues=queues)


@pytest.mark.covers(81)
@pytest.mark.parametrize(
    ("queue", "options", "said"),
    [
        ("parts", WorkflowOptions(), "partition_key: got None, but it is needed on the queue 'parts'"),
        ("plain", WorkflowOptions(partition_key="a"), "partition_queue is off"),
        ("plain", WorkflowOptions(priority=3), "priority_enabled is off"),
    ],
)
def test_options_that_fit_no_start_on_the_queue_are_refused(
    stage: Stage, queue: str, options: WorkflowOptions, said: str
) -> None:
    engine = make_narrow(stage)

    with pytest.raises(InvalidArgument) as of_engine:
        engine.enqueue(queue, "double", 1, options=options)
    with pytest.raises(InvalidArgument), DurableClient(engine.database) as client:
        client.enqueue_many(queue, "double", [(1,)], options=[options])

    assert said.rsplit(": ", maxsplit=1)[-1].rsplit(", but it ", maxsplit=1)[-1] in str(of_engine.value)
    assert stage.rows() == []


def test_a_partition_key_without_a_queue_is_refused(stage: Stage) -> None:
    engine = launch(stage, double)

    with pytest.raises(InvalidArgument, match=r"use engine\.enqueue"):
        engine.run_workflow("double", 1, options=WorkflowOptions(partition_key="a"))


@pytest.mark.parametrize("verb", ["get_queue", "pause_queue", "resume_queue", "delete_queue"])
def test_a_queue_that_nobody_stored_is_not_found(stage: Stage, verb: str) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])

    with pytest.raises(QueueNotFound, match="nowhere"):
        getattr(engine, verb)("nowhere")


def test_the_internal_queue_cannot_be_limited(stage: Stage) -> None:
    engine = launch(stage, double)

    with pytest.raises(InvalidArgument, match="belongs to durust"):
        engine.set_queue(INTERNAL_QUEUE, global_concurrency=1)
    with pytest.raises(InvalidArgument, match="belongs to durust"):
        engine.pause_queue(INTERNAL_QUEUE)


def test_the_limits_by_which_schedules_run_in_turn_cannot_be_changed(stage: Stage) -> None:
    engine = launch(stage, double)

    with pytest.raises(InvalidArgument, match="belongs to durust"):
        engine.set_queue(SCHEDULE_QUEUE, partition_queue=True, partition_concurrency=2)
    with pytest.raises(InvalidArgument, match="belongs to durust"):
        engine.delete_queue(SCHEDULE_QUEUE)


@pytest.mark.parametrize("name", [INTERNAL_QUEUE, SCHEDULE_QUEUE])
def test_a_queue_of_durusts_own_cannot_be_declared(name: str) -> None:
    with pytest.raises(InvalidArgument, match="belongs to durust"):
        WorkflowQueue(name)


def test_a_change_that_the_database_refuses_is_told(stage: Stage) -> None:
    engine = launch(stage, double, queues=[WorkflowQueue("mail")])
    # Beyond what a definition lets through.
    unstorable = RateLimiter(1, 60)
    object.__setattr__(unstorable, "period", 1e15)

    with pytest.raises(InvalidArgument, match="the database refused it"):
        engine.set_queue("mail", rate_limiter=unstorable)


@pytest.mark.parametrize(
    "limits",
    [
        {"worker_concurrency": 0},
        {"global_concurrency": -1},
        {"global_concurrency": True},
        {"global_concurrency": 2**31},
        {"rate_limiter": (5, 60)},
        {"partition_concurrency": 1},
        {"partition_queue": 1},
        {"priority_enabled": None},
        {"on_conflict": "merge"},
    ],
)
def test_limits_that_cannot_be_meant_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(limits))):
        WorkflowQueue("mail", **limits)


@pytest.mark.parametrize(
    ("limit", "period"), [(0, 1), (1, 0), (1, -1), (1.5, 1), (1, float("inf")), (1, 1e15), (1, "minute")]
)
def test_a_rate_that_cannot_be_meant_is_refused(limit: Any, period: Any) -> None:
    with pytest.raises(InvalidArgument):
        RateLimiter(limit, period)
