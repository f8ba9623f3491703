"""The function of a step can ask which step it is: by a key that is the same in each attempt and each execution."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

import durust
from durust import DurableContext, NotInStep, StepOptions, WorkflowOptions, current_step
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

AT_ONCE: dict[str, Any] = {"base_interval": 0.001, "max_interval": 0.001}
ONE = WorkflowOptions(workflow_id="one")


def ask() -> list[Any]:
    """Return what a step sees of itself."""
    status = current_step()
    assert status is not None
    return [status.key, status.workflow_id, status.place, status.name, status.attempt, status.max_attempts]


@pytest.mark.covers(29)
def test_a_step_sees_its_key_and_its_attempt(stage: Stage, paint: Paint) -> None:
    @paint
    def order(ctx: Any) -> Any:
        first = yield ctx.step("charge", ask)
        second = yield ctx.step_with(StepOptions(max_retries=4), "ship", ask)
        return [first, second]

    assert stage.launch(order).start("order", options=ONE) == [
        ["one-1", "one", 1, "charge", 1, 1],
        ["one-2", "one", 2, "ship", 1, 5],
    ]


@pytest.mark.covers(29)
def test_each_attempt_has_the_same_key_and_its_own_number(stage: Stage, paint: Paint) -> None:
    seen: list[tuple[str, int, int]] = []

    def charge() -> None:
        status = current_step()
        assert status is not None
        seen.append((status.key, status.attempt, status.max_attempts))
        raise ConnectionError(status.attempt)

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.step_with(StepOptions(max_retries=2, **AT_ONCE), "charge", charge)

    with pytest.raises(durust.StepRetriesExhausted):
        stage.launch(order).start("order", options=ONE)
    assert seen == [("one-1", 1, 3), ("one-1", 2, 3), ("one-1", 3, 3)]


@pytest.mark.covers(29)
def test_a_step_that_is_repeated_by_another_execution_has_the_same_key(stage: Stage, paint: Paint) -> None:
    seen: list[str] = []
    engines: list[durust.DurableEngine] = []

    def charge() -> None:
        status = current_step()
        assert status is not None
        seen.append(status.key)
        if len(seen) == 1:
            # The process dies before the record is written.
            stage.line_of(engines[0]).cut()

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.step("draw", str)
        yield ctx.step("charge", charge)

    engines.append(stage.launch(order))
    engines[0].run_workflow("order", options=ONE)
    eventually(lambda: seen)
    stage.crash(engines[0])

    stage.launch(order).retrieve_workflow("one").get_result(PATIENCE)

    assert seen == ["one-2", "one-2"]


@pytest.mark.covers(29)
def test_steps_that_run_at_once_have_keys_of_their_own(stage: Stage) -> None:
    async def charge(waiting: asyncio.Barrier) -> str:
        await waiting.wait()
        status = current_step()
        assert status is not None
        return status.key

    async def order(ctx: DurableContext) -> list[str]:
        waiting = asyncio.Barrier(3)
        return list(await asyncio.gather(*(ctx.step(f"charge {n}", charge, waiting) for n in range(3))))

    assert stage.launch(order).start("order", options=ONE) == ["one-1", "one-2", "one-3"]


def test_the_context_names_the_step_whose_function_asks_it(stage: Stage, paint: Paint) -> None:
    @paint
    def order(ctx: Any) -> Any:
        return [(yield ctx.step("charge", lambda: ctx.step_key)), (yield ctx.step("ship", lambda: ctx.step_key))]

    assert stage.launch(order).start("order", options=ONE) == ["one-1", "one-2"]


def test_no_key_is_there_outside_a_step(stage: Stage, paint: Paint) -> None:
    @paint
    def order(ctx: Any) -> Any:
        yield ctx.step("charge", str)
        with pytest.raises(NotInStep, match=r"ctx\.step_key"):
            ctx.step_key  # noqa: B018  it is the reading that raises
        return current_step() is None

    assert stage.launch(order).start("order")
    assert current_step() is None


def test_a_step_inside_a_step_sees_the_one_that_is_recorded(stage: Stage, paint: Paint) -> None:
    @durust.step
    def inner() -> str:
        status = current_step()
        assert status is not None
        return status.name

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.step("outer", functools.partial(inner)))

    assert stage.launch(order).start("order") == "outer"
