"""A cancelled workflow stops where it is; a resumed one goes on behind its last recorded step."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableEngine,
    InvalidArgument,
    ListFilter,
    MaxRecoveryAttemptsExceeded,
    Status,
    StepOptions,
    WorkflowCancelled,
    WorkflowNotFound,
    WorkflowOptions,
    WorkflowQueue,
    clock,
    failpoints,
)
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.provider import Hint
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

HOUR = 3600.0
# Kept in memory, so that only a cancel ends the wait.
STAYS: dict[str, Any] = {"park_after_seconds": HOUR * 2}


def until_still(engine: DurableEngine) -> None:
    """Wait until nothing runs any more."""
    eventually(lambda: parts(engine).runner.roster.running() == [])


@pytest.mark.covers(17, 128)
def test_a_cancel_wakes_a_sleeper(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(HOUR)
        yield ctx.step("two", bodies.body("two"))

    engine = stage.launch(work, **STAYS)
    handle = engine.run_workflow("work")
    eventually(lambda: 2 in stage.history(handle))

    engine.cancel_workflow(handle.id)

    with pytest.raises(WorkflowCancelled, match=handle.id):
        handle.get_result(PATIENCE)
    until_still(engine)
    assert (bodies, stage.names(handle)) == (["one"], {1: "one", 2: "DBOS.sleep"})


def test_a_cancel_ends_a_pause_before_a_retry_that_is_longer_than_a_thread_can_wait(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    ages = StepOptions(max_retries=1, base_interval=timedelta.max, max_interval=timedelta.max)

    def fail() -> None:
        bodies.append("fail")
        raise ValueError("not yet")

    @paint
    def retry(ctx: Any) -> Any:
        yield ctx.step_with(ages, "fail", fail)

    engine = stage.launch(retry)
    handle = engine.run_workflow("retry")
    eventually(lambda: bodies == ["fail"])

    engine.cancel_workflow(handle.id)

    with pytest.raises(WorkflowCancelled):
        handle.get_result(PATIENCE)
    until_still(engine)


@pytest.mark.covers(31, 128)
def test_a_cancel_by_another_process_is_noticed_within_an_async_step(stage: Stage, paint: Paint) -> None:
    seen = Bodies()

    async def work() -> str:
        seen.append("begun")
        if seen.count("begun") == 1:
            try:
                await asyncio.sleep(HOUR)
            finally:
                seen.append("cancelled")
        return "done"

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("before", seen.body("before"))
        return (yield ctx.step("work", work))

    engine, other = stage.launch(job), stage.launch()
    handle = engine.run_workflow("job")
    eventually(lambda: seen == ["before", "begun"])

    other.cancel_workflow(handle.id)

    eventually(lambda: seen == ["before", "begun", "cancelled"])
    until_still(engine)
    assert stage.names(handle) == {1: "before"}
    assert other.resume_workflow(handle.id).id == handle.id
    assert handle.get_result(PATIENCE) == "done"
    assert seen == ["before", "begun", "cancelled", "begun"]


@pytest.mark.covers(71, 128, 131)
def test_a_cancel_during_the_last_step_leaves_no_result_and_the_resume_keeps_what_was_recorded(
    stage: Stage, paint: Paint
) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold() -> None:
        bodies.append("hold")
        assert gate.wait(PATIENCE)

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.step("hold", hold)
        return "result"

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    eventually(lambda: "hold" in bodies)

    engine.cancel_workflow(handle.id)
    gate.set()

    until_still(engine)
    assert stage.row(handle).status is Status.CANCELLED
    assert engine.resume_workflow(handle.id).get_result(PATIENCE) == "result"
    assert bodies == ["one", "hold", "hold"]
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(94, 136)
def test_a_cancelled_queued_workflow_never_runs_and_a_resumed_one_runs_in_its_queue(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    @paint
    def work(ctx: Any, name: str) -> Any:
        bodies.append(name)
        yield ctx.step("hold", lambda: gate.wait(PATIENCE) or True)
        return name

    engine = stage.make_engine()
    engine.register("work", work)
    engine.register_queue(WorkflowQueue("narrow", worker_concurrency=1))
    engine.launch()
    holder = engine.enqueue("narrow", "work", "holder")
    eventually(lambda: bodies == ["holder"])
    waiting = engine.enqueue("narrow", "work", "waiting")
    delayed = engine.enqueue("narrow", "work", "delayed", options=WorkflowOptions(delay=HOUR))

    engine.cancel_workflow([waiting.id, delayed.id])
    gate.set()

    holder.get_result(PATIENCE)
    assert [stage.row(one).status for one in (waiting, delayed)] == [Status.CANCELLED] * 2
    assert bodies == ["holder"]
    resumed = engine.resume_workflow([waiting.id, delayed.id])
    assert [one.get_result(PATIENCE) for one in resumed] == ["waiting", "delayed"]
    assert stage.row(waiting).queue == "narrow"


@pytest.mark.covers(86)
def test_a_resumed_delay_does_not_wait(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.launch(work)
    handle = engine.run_workflow("work", options=WorkflowOptions(delay=HOUR))

    assert engine.resume_workflow(handle.id).get_result(PATIENCE) == "done"


@pytest.mark.covers(129, 130)
def test_one_missing_id_is_an_error_and_of_many_it_is_passed_by(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.launch(work)
    ended = engine.run_workflow("work")
    ended.get_result(PATIENCE)
    before = stage.row(ended)

    with pytest.raises(WorkflowNotFound, match="nobody"):
        engine.cancel_workflow("nobody")
    with pytest.raises(WorkflowNotFound, match="nobody"):
        engine.resume_workflow("nobody")
    engine.cancel_workflow(["nobody", ended.id])
    engine.cancel_workflow([])
    handles = engine.resume_workflow(["nobody", ended.id, ended.id])

    assert [one.id for one in handles] == [ended.id]
    assert engine.resume_workflow([]) == []
    assert engine.resume_workflow(ended.id).get_result(PATIENCE) == "done"
    assert stage.row(ended) == before


def test_an_id_that_cannot_be_meant_is_refused(stage: Stage) -> None:
    engine = stage.launch()
    bad: list[Any] = ["", 5, None, ["fine", ""], "nul \0"]

    for workflow in bad:
        with pytest.raises(InvalidArgument, match=r"^workflow"):
            engine.cancel_workflow(workflow)


def test_each_twin_does_the_same(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.launch(work)
    handle = engine.run_workflow("work", options=WorkflowOptions(delay=HOUR))

    async def there_and_back() -> Any:
        await engine.aio.cancel_workflow(handle.id)
        with pytest.raises(WorkflowCancelled):
            await handle.aio.get_result(PATIENCE)
        [one] = await engine.aio.resume_workflow([handle.id])
        await engine.aio.cancel_workflow(["nobody"])
        return await (await engine.aio.resume_workflow(one.id))

    assert asyncio.run(there_and_back()) == "done"


@pytest.mark.covers(17)
def test_a_client_cancels_and_resumes_what_workers_run(stage: Stage, paint: Paint) -> None:
    seen = Bodies()

    async def work() -> str:
        seen.append("begun")
        if len(seen) == 1:
            await asyncio.sleep(HOUR)
        return "done"

    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("work", work))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    eventually(lambda: seen == ["begun"])
    with DurableClient(stage.make_line()) as client:
        client.cancel_workflow(handle.id)
        with pytest.raises(WorkflowCancelled):
            client.retrieve_workflow(handle.id).get_result(PATIENCE)
        until_still(engine)

        again = client.resume_workflow(handle.id)

        assert again.get_result(PATIENCE) == "done"
        with pytest.raises(WorkflowNotFound):
            client.cancel_workflow("nobody")
        assert asyncio.run(client.aio.resume_workflow(["nobody"])) == []


def test_a_cancel_whose_hint_is_lost_is_noticed_by_looking(
    stage: Stage, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Bodies()

    async def work() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(HOUR)
        finally:
            seen.append("cancelled")

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("work", work)

    engine, other = stage.launch(job), stage.launch()
    monkeypatch.setattr(parts(engine), "_heard", lambda _: None)
    handle = engine.run_workflow("job")
    eventually(lambda: seen == ["begun"])

    other.cancel_workflow(handle.id)

    eventually(lambda: seen == ["begun", "cancelled"])
    until_still(engine)


def test_a_hint_about_somebody_else_asks_the_database_nothing(stage: Stage, paint: Paint) -> None:
    engine = stage.launch(sweep_seconds=HOUR)
    looks = stage.line_of(engine).calls["workflows"]

    parts(engine)._heard(Hint("cancel", "somebody else"))

    assert stage.line_of(engine).calls["workflows"] == looks


@pytest.mark.covers(17, 55, 57)
def test_what_was_set_aside_is_resumed_with_its_attempts_forgotten(
    stage: Stage, paint: Paint, request: pytest.FixtureRequest
) -> None:
    # The run that was set aside goes slowly, so that its end is still told here when it has begun again.
    failpoints.arm("run.finished=1*sleep(300)")
    request.addfinalizer(lambda: failpoints.arm(""))
    bodies = Bodies()

    def die() -> None:
        bodies.append("die")
        if len(bodies) < 3:
            stage.retire(engine.executor_id)

    @paint
    def poison(ctx: Any) -> Any:
        yield ctx.step("die", die)
        return "survived"

    engine = stage.make_engine(beat_seconds=0.1)
    engine.register("poison", poison, max_recovery_attempts=1)
    engine.launch()
    handle = engine.run_workflow("poison")
    with pytest.raises(MaxRecoveryAttemptsExceeded, match=handle.id):
        handle.get_result(PATIENCE)
    assert stage.row(handle).queue == INTERNAL_QUEUE

    again = engine.resume_workflow(handle.id)

    assert again.get_result(PATIENCE) == "survived"
    row = stage.row(handle)
    assert (row.status, row.attempts, row.error) == (Status.SUCCESS, 1, None)
    assert bodies == ["die", "die", "die"]


def test_a_resume_wakes_a_worker_that_polls_once_an_hour(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    worker = stage.launch(work, idle_poll_seconds=HOUR)
    other = stage.launch()
    handle = worker.run_workflow("work", options=WorkflowOptions(delay=HOUR))

    other.resume_workflow(handle.id)

    eventually(lambda: stage.row(handle).status is Status.SUCCESS)


@pytest.mark.covers(137)
def test_everything_before_an_instant_is_listed_and_cancelled(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: "done"))

    engine = stage.launch(work)
    early = [engine.run_workflow("work", options=WorkflowOptions(delay=HOUR)) for _ in range(3)]
    instant = max(stage.row(one).created_at_ms for one in early) + 1
    eventually(lambda: clock.now_ms() > instant)
    late = engine.run_workflow("work", options=WorkflowOptions(delay=HOUR))

    old = engine.list_workflows(
        ListFilter(statuses=[Status.DELAYED], created_before=datetime.fromtimestamp(instant / 1000, UTC))
    )
    engine.cancel_workflow(row.workflow_id for row in old)

    assert [stage.row(one).status for one in early] == [Status.CANCELLED] * 3
    assert stage.row(late).status is Status.DELAYED
