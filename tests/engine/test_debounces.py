"""A burst of calls that are debounced under one key is one run with the last input."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

import durust
from durust import (
    DurableEngine,
    InvalidArgument,
    QueueNotFound,
    Status,
    SyncDurableContext,
    WorkflowConflict,
    WorkflowHandle,
    WorkflowOptions,
    WorkflowQueue,
)
from durust.model.writes import INTERNAL_QUEUE
from tests.conformance.conftest import Rewrite
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage

# Until long after the test.
LONG = 600.0
CALLERS, CALLS = 4, 10


@pytest.fixture
def ran() -> list[Any]:
    return []


def launch(stage: Stage, *workflows: Any) -> DurableEngine:
    engine = stage.make_engine()
    for workflow in workflows:
        engine.register(workflow.__name__, workflow)
    engine.register_queue(WorkflowQueue("mail"))
    engine.launch()
    return engine


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


def let_go(stage: Stage, rewrite: Rewrite, handle: WorkflowHandle[Any]) -> None:
    """Let the time of a debounced run come now."""
    rewrite(handle.id, delay_until_epoch_ms=stage.row(handle).created_at_ms)


@pytest.mark.covers(153)
def test_a_burst_runs_once_with_the_last_input(stage: Stage, paint: Paint, rewrite: Rewrite, ran: list[int]) -> None:
    @paint
    def index(ctx: Any, number: int) -> Any:
        yield ctx.step("note", lambda: ran.append(number))
        return number

    engine = launch(stage, index)
    call = durust.debounce("index", key="doc-7", period=LONG)

    handles = [engine.run_workflow(call, number) for number in (1, 2, 3)]

    let_go(stage, rewrite, handles[0])
    assert [handle.get_result(PATIENCE) for handle in handles] == [3, 3, 3]
    assert len({handle.id for handle in handles}) == 1
    assert ran == [3]
    assert stage.row(handles[0]).queue == INTERNAL_QUEUE


@pytest.mark.covers(153)
def test_a_burst_that_does_not_end_is_ended_by_its_limit(stage: Stage) -> None:
    engine = launch(stage, double)
    call = durust.debounce("double", key="k", period=0.3, limit=timedelta(seconds=0.4))
    begun = engine.enqueue("mail", call, 0)
    number = 0

    # Each call comes long before the period of the one before is over.
    while engine.enqueue("mail", call, number + 1).id == begun.id:
        number += 1

    row = stage.row(begun)
    assert begun.get_result(PATIENCE) == 2 * number
    assert (row.delay_until_ms, row.dedup_id) == (None, None)
    started = stage.row(begun).started_at_ms or 0
    assert started - row.created_at_ms >= 400


def test_its_time_comes_without_a_look_of_the_sweep_in_between(stage: Stage) -> None:
    engine = stage.make_engine(sweep_seconds=LONG, idle_poll_seconds=LONG)
    engine.register("double", double)
    engine.launch()

    handle = engine.run_workflow(durust.debounce("double", key="k", period=0.2), 4)

    assert handle.get_result(PATIENCE) == 8
    row = stage.row(handle)
    assert (row.started_at_ms or 0) - row.created_at_ms >= 200


@pytest.mark.covers(153)
def test_a_client_debounces_by_the_name_and_meets_the_engine(stage: Stage, rewrite: Rewrite) -> None:
    engine = launch(stage, double)
    call = durust.debounce("double", key="k", period=LONG)

    with make_client(stage) as client:
        handles = [engine.enqueue("mail", call, 1), client.enqueue("mail", call, 2)]

        let_go(stage, rewrite, handles[0])
        assert [handle.get_result(PATIENCE) for handle in handles] == [4, 4]
        assert handles[0].id == handles[1].id
        with pytest.raises(InvalidArgument, match="waits for its period"):
            client.enqueue("mail", call, 1, options=WorkflowOptions(delay=1))


def test_the_awaiting_view_of_a_client_debounces_too(stage: Stage) -> None:
    launch(stage, double)

    async def call() -> Any:
        async with make_client(stage).aio as client:
            handle = await client.enqueue("mail", durust.debounce("double", key="k", period=0.01), 3)
            return await handle

    assert asyncio.run(asyncio.wait_for(call(), PATIENCE)) == 6


def test_a_decorated_workflow_is_debounced_by_its_function(stage: Stage) -> None:
    engine = stage.make_engine()
    triple = engine.register("triple", lambda _ctx, number: 3 * number)
    engine.launch()

    result = engine.start(durust.debounce(triple, "k", 0.05), 3)

    assert result == 9


def test_the_awaiting_view_debounces_too(stage: Stage, rewrite: Rewrite) -> None:
    engine = launch(stage, double)

    async def burst() -> list[Any]:
        call = durust.debounce("double", key="k", period=LONG)
        handles = [await engine.aio.enqueue("mail", call, number) for number in (1, 2)]
        let_go(stage, rewrite, handles[1])
        started = await engine.aio.start(durust.debounce("double", key="other", period=0.01), 5)
        return [*await asyncio.gather(*handles), started]

    assert asyncio.run(asyncio.wait_for(burst(), PATIENCE)) == [4, 4, 10]


@pytest.mark.covers(153)
def test_workflows_keys_and_queues_do_not_meet(stage: Stage) -> None:
    def half(_: SyncDurableContext, number: int) -> float:
        return number / 2

    engine = launch(stage, double, half)
    calls = [durust.debounce(name, key=key, period=0.05) for name in ("double", "half") for key in ("1", "2")]

    handles = [
        *[engine.enqueue("mail", call, 8) for call in calls],
        *[engine.run_workflow(call, 6) for call in calls],
    ]

    assert [handle.get_result(PATIENCE) for handle in handles] == [16, 16, 4, 4, 12, 12, 3, 3]


@pytest.mark.covers(154)
def test_a_call_that_comes_when_the_run_is_queued_begins_a_new_one(stage: Stage, rewrite: Rewrite) -> None:
    engine = launch(stage, double)
    call = durust.debounce("double", key="k", period=LONG)
    first = engine.run_workflow(call, 1)
    let_go(stage, rewrite, first)

    second = engine.run_workflow(call, 2)

    let_go(stage, rewrite, second)
    assert [first.get_result(PATIENCE), second.get_result(PATIENCE)] == [2, 4]
    assert second.id != first.id


def test_what_a_new_run_had_queued_is_claimed_without_a_poll(stage: Stage, rewrite: Rewrite) -> None:
    engine = stage.make_engine(sweep_seconds=LONG, idle_poll_seconds=LONG)
    engine.register("double", double)
    engine.launch()
    call = durust.debounce("double", key="k", period=LONG)
    first = engine.run_workflow(call, 1)
    let_go(stage, rewrite, first)

    engine.run_workflow(call, 2)

    assert first.get_result(PATIENCE) == 2


def test_calls_of_many_threads_are_one_run(stage: Stage, rewrite: Rewrite, ran: list[str]) -> None:
    def index(_: SyncDurableContext, value: str) -> None:
        ran.append(value)

    engine = launch(stage, index)
    call = durust.debounce("index", key="k", period=LONG)

    def burst(caller: int) -> list[WorkflowHandle[Any]]:
        return [engine.run_workflow(call, f"{caller}-{number}") for number in range(CALLS)]

    with ThreadPoolExecutor(CALLERS) as pool:
        handles = [handle for made in pool.map(burst, range(CALLERS)) for handle in made]

    assert len({handle.id for handle in handles}) == 1
    let_go(stage, rewrite, handles[0])
    handles[0].get_result(PATIENCE)
    assert len(ran) == 1
    assert ran[0].endswith(f"-{CALLS - 1}")


def test_the_id_is_the_one_of_the_first_call_and_all_else_that_of_the_last(stage: Stage) -> None:
    engine = launch(stage, double)
    call = durust.debounce("double", key="k", period=LONG)

    handles = [
        engine.enqueue(
            "mail",
            call,
            number,
            options=WorkflowOptions(workflow_id=f"run-{number}", priority=number, timeout=number),
        )
        for number in (1, 2)
    ]

    assert [handle.id for handle in handles] == ["run-1", "run-1"]
    row = stage.row("run-1")
    assert (row.status, row.priority, row.timeout_ms) == (Status.DELAYED, 2, 2000)


def test_an_id_that_ran_already_does_not_run_again(stage: Stage) -> None:
    engine = launch(stage, double)
    call, options = durust.debounce("double", key="k", period=0.01), WorkflowOptions(workflow_id="once")
    engine.run_workflow(call, 1, options=options).get_result(PATIENCE)

    again = engine.run_workflow(call, 2, options=options)

    assert (again.id, again.get_result(PATIENCE)) == ("once", 2)
    assert len(stage.rows()) == 1


@pytest.mark.covers(156)
def test_a_key_that_stands_for_something_else_is_a_conflict_that_names_it(stage: Stage) -> None:
    engine = launch(stage, double)
    options = WorkflowOptions(workflow_id="holder", dedup_id="double-k", delay=LONG)
    engine.enqueue("mail", "double", 1, options=options)

    with pytest.raises(WorkflowConflict, match=r"'double-k' on queue 'mail'.*'double'.*workflow holder"):
        engine.enqueue("mail", durust.debounce("double", key="k", period=LONG), 2)

    assert len(stage.rows()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [(WorkflowOptions(delay=5), "waits for its period"), (WorkflowOptions(dedup_id="m"), "waits under its key")],
)
def test_options_that_contradict_a_debounce_are_refused(stage: Stage, options: WorkflowOptions, message: str) -> None:
    engine = launch(stage, double)
    call = durust.debounce("double", key="k", period=LONG)

    with pytest.raises(InvalidArgument, match=message):
        engine.enqueue("mail", call, 1, options=options)
    with pytest.raises(InvalidArgument, match=message):
        engine.run_workflow(call, 1, options=options)

    assert stage.rows() == []


def test_a_list_of_debounced_calls_is_refused(stage: Stage) -> None:
    engine = launch(stage, double)
    call: Any = durust.debounce("double", key="k", period=LONG)

    with pytest.raises(InvalidArgument, match="one by one"):
        engine.enqueue_many("mail", call, [(1,), (2,)])
    with pytest.raises(QueueNotFound, match="'male'"):
        engine.enqueue("male", call, 1)
    with pytest.raises(TypeError, match="double"):
        engine.run_workflow(call, 1, 2, 3)
    with pytest.raises(InvalidArgument, match="belongs to a queue"):
        engine.run_workflow(call, 1, options=WorkflowOptions(partition_key="ada"))

    assert stage.rows() == []


def test_a_running_workflow_debounces_nothing(stage: Stage) -> None:
    def nest(_: SyncDurableContext) -> str:
        with pytest.raises(InvalidArgument, match="running workflow"):
            engine.run_workflow(durust.debounce("double", key="k", period=LONG), 1)
        return "refused"

    engine = launch(stage, double, nest)

    assert engine.start("nest") == "refused"
