"""The time, the ids and the random numbers that a body asks for are the same in every execution."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust import NotInWorkflow, clock
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage

NAMES = ["durust.now", "durust.uuid", "durust.random"]


@pytest.mark.covers(140)
def test_what_is_drawn_is_the_same_in_a_replay_and_another_one_at_each_call(stage: Stage, paint: Paint) -> None:
    executions: list[list[Any]] = []

    @paint
    def draws(ctx: Any) -> Any:
        drawn = []
        for _ in range(2):
            drawn.append((yield ctx.now()))
            drawn.append((yield ctx.uuid()))
            drawn.append((yield ctx.random()))
        executions.append(drawn)
        yield ctx.sleep(0.4)
        drawn.append((yield ctx.now()))
        return len(drawn)

    before = clock.now_utc() - timedelta(seconds=1)
    handle = stage.launch(draws).run_workflow("draws")
    assert handle.get_result(PATIENCE) == 7

    first, second = executions
    assert first == second[:6]
    now, one_id, number, later, other_id, other_number, last = second
    assert isinstance(now, datetime)
    assert now.tzinfo is UTC or now.utcoffset() == timedelta(0)
    assert before <= now <= later <= last - timedelta(seconds=0.3) <= clock.now_utc() + timedelta(seconds=1)
    assert isinstance(one_id, uuid.UUID)
    assert (one_id.version, one_id != other_id) == (4, True)
    assert all(isinstance(each, float) and 0 <= each < 1 for each in (number, other_number))
    assert number != other_number
    assert list(stage.names(handle).values())[:6] == NAMES * 2


def test_a_value_is_drawn_in_the_body_and_nowhere_else(stage: Stage, paint: Paint) -> None:
    kept: list[Any] = []

    @paint
    def job(ctx: Any) -> Any:
        kept.append(ctx)
        yield ctx.step("step", ctx.random)

    handle = stage.launch(job).run_workflow("job")

    with pytest.raises(NotInWorkflow, match=r"ctx\.random"):
        handle.get_result(PATIENCE)
    for draw in (kept[0].now, kept[0].uuid, kept[0].random):
        with pytest.raises(NotInWorkflow, match=r"ctx\.(now|uuid|random)"):
            draw()


def test_drawn_values_are_plain_json_also_where_values_are_pickled(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return [(yield ctx.now()), (yield ctx.uuid()), (yield ctx.random())]

    engine = stage.make_engine(serializer="pickle")
    engine.register("job", job)
    engine.launch()
    handle = engine.run_workflow("job")

    now, made, number = handle.get_result(PATIENCE)

    assert [record.serialization for record in stage.history(handle).values()] == ["portable_json"] * 3
    records = [record.output for _, record in sorted(stage.history(handle).items())]
    assert records[1:] == [f'"{made}"', repr(number)]
    assert str(now.year) in (records[0] or "")
