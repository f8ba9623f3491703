"""A step with a timeout ends in time, by an error that is recorded and replayed like any other."""

from __future__ import annotations

import asyncio
import gc
import pickle
from datetime import timedelta
from typing import Any

import pytest

import durust
from durust import InvalidArgument, StepOptions, StepRetriesExhausted, StepTimedOut, WorkflowOptions, WorkflowTimedOut
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

SHORT = 0.1
HOUR = 3600.0
BOUND = StepOptions(timeout=SHORT)


class Slow:
    """A step that takes an hour the first times, and notes what becomes of it."""

    def __init__(self, times: int = 10**6) -> None:
        self.seen = Bodies()
        self._times = times

    async def work(self) -> str:
        self.seen.append("begun")
        if self.seen.count("begun") > self._times:
            return "done"
        try:
            await asyncio.sleep(HOUR)
        finally:
            self.seen.append("stopped")
        return "late"


@pytest.mark.covers(30)
def test_a_step_that_takes_too_long_is_stopped_and_its_error_is_recorded_and_replayed(
    stage: Stage, paint: Paint
) -> None:
    slow, errors = Slow(), Bodies()

    @paint
    def job(ctx: Any) -> Any:
        try:
            yield ctx.step_with(BOUND, "work", slow.work)
        except StepTimedOut as error:
            errors.append(f"{error.name} {error.seconds}")
        yield ctx.sleep(0.4)
        return "caught"

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) == "caught"
    # It parked in between, so the second error is the record's.
    assert errors == ["work 0.1", "work 0.1"]
    eventually(lambda: slow.seen == ["begun", "stopped"])
    assert "did not end within 0.1 s" in (stage.history(handle)[1].error or "")


@pytest.mark.covers(30)
def test_each_attempt_is_bounded_anew(stage: Stage, paint: Paint) -> None:
    slow = Slow(times=2)

    @paint
    def job(ctx: Any) -> Any:
        options = StepOptions(timeout=timedelta(seconds=SHORT), max_retries=3, base_interval=0)
        return (yield ctx.step_with(options, "work", slow.work))

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) == "done"
    assert slow.seen == ["begun", "stopped", "begun", "stopped", "begun"]


@pytest.mark.covers(30)
def test_attempts_that_all_take_too_long_are_told_together(stage: Stage, paint: Paint) -> None:
    slow = Slow()

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step_with(StepOptions(timeout=SHORT, max_retries=1, base_interval=0), "work", slow.work)

    handle = stage.launch(job).run_workflow("job")

    with pytest.raises(StepRetriesExhausted) as raised:
        handle.get_result(PATIENCE)
    assert [type(error) for error in raised.value.errors] == [StepTimedOut, StepTimedOut]


def test_an_error_of_the_step_itself_is_its_own_also_a_timeout(stage: Stage, paint: Paint) -> None:
    async def fails() -> None:
        raise TimeoutError("mine")

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step_with(StepOptions(timeout=HOUR), "fails", fails)

    with pytest.raises(TimeoutError, match="mine") as raised:
        stage.launch(job).run_workflow("job").get_result(PATIENCE)
    assert type(raised.value) is TimeoutError


@pytest.mark.covers(30)
def test_the_shorter_timeout_wins(stage: Stage, paint: Paint) -> None:
    slow = Slow()

    @paint
    def step_first(ctx: Any) -> Any:
        yield ctx.step_with(BOUND, "work", slow.work)

    @paint
    def workflow_first(ctx: Any) -> Any:
        yield ctx.step_with(StepOptions(timeout=HOUR), "work", slow.work)

    engine = stage.launch(step_first, workflow_first)
    one = engine.run_workflow("step_first", options=WorkflowOptions(timeout=HOUR))
    other = engine.run_workflow("workflow_first", options=WorkflowOptions(timeout=0.5))

    with pytest.raises(StepTimedOut):
        one.get_result(PATIENCE)
    with pytest.raises(WorkflowTimedOut):
        other.get_result(PATIENCE)
    assert stage.history(other) == {}


def test_the_timeout_of_a_step_is_no_timer_of_the_body_beside_it(stage: Stage) -> None:
    slow, order = Slow(), Bodies()

    async def job(ctx: durust.DurableContext) -> str:
        work = asyncio.create_task(ctx.step_with(BOUND, "work", slow.work))
        try:
            async with asyncio.timeout(0.6):
                await ctx.sleep(HOUR)
        except TimeoutError:
            order.append("body")
        with pytest.raises(StepTimedOut):
            await work
        order.append("step")
        await ctx.sleep(0.4)
        return "done"

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) == "done"
    assert order == ["body", "step"] * 2
    assert slow.seen == ["begun", "stopped"]


@pytest.mark.covers(46)
def test_nobody_complains_of_the_error_of_a_task_whose_body_was_set_aside(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(ctx: durust.DurableContext) -> str:
        work = asyncio.create_task(ctx.step_with(BOUND, "work", Slow().work))
        # Parks, when the task has failed already and nobody has asked it yet.
        await ctx.sleep(0.6)
        with pytest.raises(StepTimedOut):
            await work
        return "done"

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) == "done"
    gc.collect()
    assert [record.message for record in caplog.records if "never retrieved" in record.message] == []


@pytest.mark.covers(30)
def test_a_plain_function_cannot_be_bounded(stage: Stage, paint: Paint) -> None:
    refused: list[str] = []

    @paint
    def job(ctx: Any) -> Any:
        for step in (lambda: 1, lambda: Slow().work()):
            with pytest.raises(InvalidArgument, match=r"^timeout=0\.1: needs an `async def` step") as raised:
                # Not awaited in either colour.
                ctx.step_with(BOUND, "plain", step)
            refused.append(raised.value.name)
        return (yield ctx.step("after", lambda: "fine"))

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) == "fine"
    assert refused == ["timeout"] * 2
    with pytest.raises(InvalidArgument, match=r"^timeout="):

        @durust.step(timeout=SHORT)
        def plain() -> None:
            """Do nothing."""


@pytest.mark.covers(30)
def test_a_decorated_step_is_bounded_in_a_workflow_and_nowhere_else(stage: Stage, paint: Paint) -> None:
    seen = Bodies()

    @durust.step(timeout=SHORT)
    async def work(seconds: float) -> str:
        seen.append("begun")
        await asyncio.sleep(seconds)
        return "done"

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("work", work, HOUR)

    with pytest.raises(StepTimedOut):
        stage.launch(job).run_workflow("job").get_result(PATIENCE)
    assert asyncio.run(work(SHORT * 2)) == "done"
    assert seen == ["begun", "begun"]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True, timedelta(0)])
def test_a_timeout_that_cannot_be_meant_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^timeout="):
        StepOptions(timeout=timeout)


def test_the_error_travels() -> None:
    error = pickle.loads(pickle.dumps(StepTimedOut("work", 0.5)))

    assert (error.name, error.seconds, str(error)) == ("work", 0.5, "step 'work' did not end within 0.5 s")
