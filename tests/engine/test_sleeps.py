"""A sleep ends at the instant that was recorded, whoever waits for it; a long one is waited for by nobody."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from durust import DurableContext, InvalidArgument, NotInWorkflow, Status, clock
from durust.routines.replay import SLEEP_NAME
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

# Longer than what the stage's engines wait for with their stack kept, so it parks, and it wakes soon.
PARKS = 0.5
# Kept in memory, however long it takes to look at it.
STAYS: dict[str, Any] = {"park_after_seconds": 3600.0}
HOUR = 3600.0


def instant_ms(stage: Stage, workflow: Any, place: int = 1) -> float:
    """Return the recorded instant of a sleep, in milliseconds."""
    record = stage.history(workflow)[place]
    assert record.name == SLEEP_NAME
    assert record.output is not None
    return float(record.output) * 1000


def run_threads() -> list[str]:
    """Return the threads that carry runs and steps."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("durust-run")]


@pytest.mark.covers(37)
@pytest.mark.parametrize("seconds", [0.05, PARKS])
def test_a_sleep_is_over_at_its_recorded_instant(stage: Stage, paint: Paint, seconds: float) -> None:
    woken: list[int] = []

    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.sleep(seconds)
        woken.append(clock.now_ms())

    begun = clock.now_ms()
    handle = stage.launch(doze).run_workflow("doze")
    handle.get_result(PATIENCE)

    instant = instant_ms(stage, handle)
    # One millisecond, because the database may round the instant and the clock cuts it.
    assert begun + seconds * 1000 - 1 <= instant <= woken[0] + 1
    assert stage.history(handle)[1].completed_at_ms == pytest.approx(instant, abs=1)


def test_a_timedelta_is_a_duration(stage: Stage, paint: Paint) -> None:
    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.sleep(timedelta(hours=1))

    begun = clock.now_ms()
    handle = stage.launch(doze).run_workflow("doze")

    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    assert begun + 3_599_999 <= instant_ms(stage, handle) <= clock.now_ms() + 3_600_001


def test_no_time_is_a_sleep_too(stage: Stage, paint: Paint) -> None:
    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.sleep(0)
        return "awake"

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")

    assert handle.get_result(PATIENCE) == "awake"
    assert stage.names(handle) == {1: SLEEP_NAME}


def test_a_duration_that_cannot_be_meant_is_refused_at_the_call(stage: Stage, paint: Paint) -> None:
    bad: list[Any] = [-1, -0.001, math.nan, math.inf, "1", None, True, timedelta(seconds=-1)]
    refused: list[str] = []

    @paint
    def doze(ctx: Any) -> Any:
        for seconds in bad:
            with pytest.raises(InvalidArgument) as raised:
                # Not awaited in either colour.
                ctx.sleep(seconds)
            refused.append(str(raised.value))
        return (yield ctx.step("after", lambda: "refused"))

    handle = stage.launch(doze).run_workflow("doze")

    assert handle.get_result(PATIENCE) == "refused"
    assert len(refused) == len(bad)
    assert all(text.startswith("seconds=") for text in refused)
    assert stage.names(handle) == {1: "after"}


@pytest.mark.covers(141)
def test_a_sleep_outside_a_running_workflow_is_refused(stage: Stage, paint: Paint) -> None:
    kept: list[Any] = []

    @paint
    def inside(ctx: Any) -> Any:
        kept.append(ctx)
        yield ctx.step("step", lambda: ctx.sleep(1))

    engine = stage.launch(inside)
    handle = engine.run_workflow("inside")

    with pytest.raises(NotInWorkflow, match=r"ctx\.sleep"):
        handle.get_result(PATIENCE)
    with pytest.raises(NotInWorkflow, match=r"ctx\.sleep"):
        kept[0].sleep(1)
    assert stage.names(handle) == {1: "step"}


@pytest.mark.covers(139)
def test_after_a_crash_only_what_is_left_is_waited_for(stage: Stage, paint: Paint) -> None:
    executions: list[int] = []

    @paint
    def doze(ctx: Any) -> Any:
        executions.append(1)
        yield ctx.sleep(1.0)
        return (yield ctx.step("after", lambda: "awake"))

    engine = stage.launch(doze, **STAYS)
    handle = engine.run_workflow("doze")
    eventually(lambda: stage.history(handle))
    instant = instant_ms(stage, handle)
    stage.crash(engine)
    eventually(lambda: clock.now_ms() > instant)

    # Whoever had to wait again would park, and then run a third time.
    again = stage.launch(doze, park_after_seconds=0.01)

    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "awake"
    assert len(executions) == 2
    assert instant_ms(stage, handle) == instant


def test_a_long_sleep_holds_neither_a_thread_nor_a_slot(stage: Stage, paint: Paint) -> None:
    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", lambda: "done"))

    engine = stage.launch(doze, work, slots=1)
    handle = engine.run_workflow("doze")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)

    row = stage.row(handle)
    # Its claim is not counted; the next one is the first again.
    assert row.attempts == 0
    assert row.executor_id is None
    assert row.delay_until_ms == pytest.approx(instant_ms(stage, handle), abs=1)
    eventually(lambda: parts(engine).runner.roster.running() == [])
    eventually(lambda: run_threads() == [])
    assert engine.start("work") == "done"


def test_a_parked_workflow_wakes_by_itself_again_and_again(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    executions: list[int] = []

    @paint
    def doze(ctx: Any) -> Any:
        executions.append(ctx.attempt)
        for number in range(3):
            yield ctx.step(f"before {number}", bodies.body(f"before {number}"))
            yield ctx.sleep(PARKS)
        return (yield ctx.step("last", bodies.body("last", "awake")))

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")

    assert handle.get_result(PATIENCE) == "awake"
    assert bodies == ["before 0", "before 1", "before 2", "last"]
    assert executions == [1, 1, 1, 1]
    assert stage.row(handle).attempts == 1


def test_a_workflow_parked_by_one_engine_wakes_on_another(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.step("before", bodies.body("before"))
        yield ctx.sleep(PARKS)
        return (yield ctx.step("after", bodies.body("after", "awake")))

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")
    eventually(lambda: bodies == ["before"])
    eventually(lambda: stage.row(handle).status is not Status.PENDING)
    stage.crash(engine)

    again = stage.launch(doze)

    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "awake"
    assert bodies == ["before", "after"]


def test_gathered_sleeps_park_until_the_first_of_them(stage: Stage) -> None:
    executions: list[int] = []

    async def doze(ctx: DurableContext) -> str:
        executions.append(1)
        await asyncio.gather(*(ctx.sleep(PARKS * (1 + number % 3)) for number in range(30)))
        return "awake"

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)

    due = stage.row(handle).delay_until_ms
    assert due == pytest.approx(
        min(float(record.output or 0) * 1000 for record in stage.history(handle).values()), abs=1
    )
    assert handle.get_result(PATIENCE) == "awake"
    assert len(stage.history(handle)) == 30
    assert 2 <= len(executions) <= 4
    assert stage.row(handle).attempts == 1


def test_a_sleep_beside_a_running_step_does_not_park_until_the_step_is_done(stage: Stage) -> None:
    bodies = Bodies()
    gate = threading.Event()

    def slow() -> None:
        bodies.append("slow")
        assert gate.wait(PATIENCE)

    async def both(ctx: DurableContext) -> None:
        await asyncio.gather(ctx.sleep(HOUR), ctx.step("slow", slow))

    async def alone(ctx: DurableContext) -> None:
        await ctx.sleep(HOUR)

    engine = stage.launch(both, alone)
    handle = engine.run_workflow("both")
    eventually(lambda: bodies == ["slow"] and stage.history(handle))
    other = engine.run_workflow("alone")
    eventually(lambda: stage.row(other).status is Status.DELAYED)

    assert stage.row(handle).status is Status.PENDING
    gate.set()
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    assert sorted(stage.names(handle).values()) == [SLEEP_NAME, "slow"]
    assert bodies == ["slow"]


def test_finally_and_with_run_at_each_park_and_record_nothing_there(stage: Stage, paint: Paint) -> None:
    ends: list[str] = []
    cleaned = Bodies()

    @contextmanager
    def room() -> Iterator[None]:
        try:
            yield
        finally:
            ends.append("with")

    @paint
    def doze(ctx: Any) -> Any:
        try:
            with room():
                yield ctx.sleep(PARKS)
        finally:
            ends.append("finally")
            yield ctx.step("clean", cleaned.body("clean"))
        return "awake"

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")

    assert handle.get_result(PATIENCE) == "awake"
    assert ends == ["with", "finally"] * 2
    assert cleaned == ["clean"]


def test_an_operation_of_an_unwinding_body_leaves_no_trace(stage: Stage, paint: Paint) -> None:
    ends: list[str] = []
    cleaned = Bodies()

    @paint
    def doze(ctx: Any) -> Any:
        try:
            yield ctx.sleep(HOUR)
        finally:
            ends.append("finally")
            yield ctx.step("clean", cleaned.body("clean"))

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")
    eventually(lambda: ends and parts(engine).runner.roster.running() == [])

    assert stage.row(handle).status is Status.DELAYED
    assert stage.names(handle) == {1: SLEEP_NAME}
    assert (ends, cleaned) == (["finally"], [])


def test_a_bare_except_does_not_stop_a_park(stage: Stage, paint: Paint) -> None:
    swallowed: list[int] = []
    bodies = Bodies()

    @paint
    def doze(ctx: Any) -> Any:
        try:
            yield ctx.sleep(PARKS)
        except:  # noqa: E722  what users write
            swallowed.append(1)
        return (yield ctx.step("after", bodies.body("after", "awake")))

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze")

    assert handle.get_result(PATIENCE) == "awake"
    assert (swallowed, bodies) == ([1], ["after"])
    assert stage.row(handle).attempts == 1


def test_what_an_unwinding_body_answers_is_not_the_result(stage: Stage, paint: Paint) -> None:
    answers: list[str] = []

    @paint
    def answer(ctx: Any) -> Any:
        try:
            yield ctx.sleep(PARKS)
        except:  # noqa: E722  what users write
            answers.append("early")
            return "early"
        return "awake"

    @paint
    def fail(ctx: Any) -> Any:
        try:
            yield ctx.sleep(PARKS)
        except BaseException as error:
            answers.append("failed")
            raise KeyError("early") from error
        return "awake"

    engine = stage.launch(answer, fail)
    handles = [engine.run_workflow("answer"), engine.run_workflow("fail")]

    assert [handle.get_result(PATIENCE) for handle in handles] == ["awake", "awake"]
    assert sorted(answers) == ["early", "failed"]
