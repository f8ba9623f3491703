"""Deleted workflows are gone, whatever they were doing; orders for many tell which of them they changed."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    QueueNotFound,
    Status,
    WorkflowNotFound,
    WorkflowOptions,
    WorkflowQueue,
    clock,
)
from durust.model.writes import INTERNAL_QUEUE
from tests.conformance.builders import start
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

HOUR = 3600.0


@pytest.mark.covers(138)
def test_a_running_workflow_that_is_deleted_records_nothing_and_stops(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold() -> None:
        bodies.append("hold")
        assert gate.wait(PATIENCE)

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("hold", hold)
        yield ctx.step("two", bodies.body("two"))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    eventually(lambda: bodies == ["hold"])

    deleted = engine.delete_workflow(handle.id)

    gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert (deleted, bodies, stage.history(handle)) == ([handle.id], ["hold"], {})
    assert stage.rows(workflow_ids=[handle.id]) == []


@pytest.mark.covers(138)
def test_whoever_waits_for_its_result_is_told_that_it_is_gone(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)

    # Who waits is told by a hint: there is no other look within the test's patience.
    engine = stage.launch(job, idle_poll_seconds=HOUR)
    handle = engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    found: list[BaseException] = []

    def wait() -> None:
        try:
            handle.get_result(PATIENCE)
        except WorkflowNotFound as error:
            found.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: bool(parts(engine).watcher._awaited))

    engine.delete_workflow(handle.id)

    waiter.join(PATIENCE)
    assert [type(error) for error in found] == [WorkflowNotFound]


@pytest.mark.covers(130, 138)
def test_deleting_tells_what_was_there_and_again_changes_nothing(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    ended, waiting = engine.run_workflow("job"), engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    ended.get_result(PATIENCE)

    deleted = engine.delete_workflow([waiting.id, "nobody", ended.id, waiting.id])

    assert deleted == [waiting.id, ended.id]
    assert engine.delete_workflow([waiting.id, ended.id]) == engine.delete_workflow("nobody") == []
    assert engine.delete_workflow([]) == []
    with pytest.raises(WorkflowNotFound):
        engine.retrieve_workflow(ended.id)
    with pytest.raises(InvalidArgument):
        engine.delete_workflow("")


@pytest.mark.covers(124)
def test_children_go_along_only_where_that_is_asked_for(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    for workflow, parent in (("a", None), ("a-1", "a"), ("a-1-1", "a-1"), ("a-2", "a"), ("b", None), ("b-1", "b")):
        stage.commit(start(workflow, queue="nobody's", parent_id=parent))

    alone = engine.delete_workflow("b")
    family = engine.delete_workflow(["a"], children=True)
    rest = engine.delete_workflow("b", children=True)

    assert (alone, family[0], sorted(family), rest) == (["b"], "a", ["a", "a-1", "a-1-1", "a-2"], ["b-1"])
    assert stage.rows(queues=["nobody's"]) == []


@pytest.mark.covers(130)
def test_a_cancel_tells_which_workflows_it_ended(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    ended, waiting = engine.run_workflow("job"), engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    ended.get_result(PATIENCE)

    first = engine.cancel_workflow(["nobody", ended.id, waiting.id])

    assert (first, engine.cancel_workflow([waiting.id]), engine.cancel_workflow([])) == ([waiting.id], [], [])
    assert engine.cancel_workflow(waiting.id) == []


@pytest.mark.covers(137)
def test_everything_before_an_instant_is_cancelled_at_one_word(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    ended = engine.run_workflow("job")
    ended.get_result(PATIENCE)
    early = [engine.run_workflow("job", options=WorkflowOptions(delay=HOUR)) for _ in range(5)]
    instant_ms = stage.row(early[-1]).created_at_ms + 1
    eventually(lambda: clock.now_ms() > instant_ms)
    late = engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    before = stage.row(ended)
    instant = datetime.fromtimestamp(instant_ms / 1000, UTC)

    cancelled = engine.cancel_workflows_before(instant)

    assert cancelled == [handle.id for handle in early]
    assert [stage.row(handle).status for handle in early] == [Status.CANCELLED] * 5
    assert (stage.row(late).status, stage.row(ended)) == (Status.DELAYED, before)
    assert engine.cancel_workflows_before(instant) == []
    with pytest.raises(InvalidArgument, match="time zone"):
        engine.cancel_workflows_before(datetime(2030, 1, 1))  # noqa: DTZ001  that is the point


@pytest.mark.covers(94)
def test_a_resume_leads_to_another_queue_where_one_is_named(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.make_engine()
    engine.register("job", job)
    engine.register_queue(WorkflowQueue("wide"))
    engine.launch()
    handle = engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    engine.cancel_workflow(handle.id)

    with pytest.raises(QueueNotFound):
        engine.resume_workflow(handle.id, queue="nowhere")
    assert stage.row(handle).status is Status.CANCELLED
    again = engine.resume_workflow(handle.id, queue="wide")

    assert (again.get_result(PATIENCE), stage.row(handle).queue) == ("done", "wide")


def test_each_twin_and_a_client_delete_alike(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.launch(job)
    late = datetime(2100, 1, 1, tzinfo=UTC)

    async def ordered(target: Any) -> None:
        handles = [engine.run_workflow("job", options=WorkflowOptions(delay=HOUR)) for _ in range(3)]
        ids = [handle.id for handle in handles]
        assert await target.aio.cancel_workflows_before(late) == ids
        assert await target.aio.cancel_workflow(ids) == []
        [again] = await target.aio.resume_workflow([ids[0]], queue=INTERNAL_QUEUE)
        assert await again.aio.get_result(PATIENCE) == "done"
        assert await target.aio.delete_workflow(ids, children=True) == ids

    asyncio.run(ordered(engine))
    with DurableClient(stage.make_line()) as client:
        asyncio.run(ordered(client))
    assert stage.rows() == []
