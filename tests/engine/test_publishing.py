"""Events and streams that a workflow's body publishes stand once, whatever becomes of its process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from durust import DurableContext, InvalidArgument, NotInWorkflow, StreamClosed
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

MANY = 200
NAUGHTY = ["\0", "\ud800", "\x1f", '"', "\\", "é", {"\0": ["\udfff"]}]


@dataclass(frozen=True)
class Point:
    """A value with a type of its own."""

    x: int
    y: float


@pytest.mark.covers(111)
def test_the_latest_value_of_an_event_stands(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.set_event("progress", 1)
        yield ctx.set_event("progress", [2])
        yield ctx.set_event("state", {"is": "done"})

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert engine.get_events(handle.id) == {"progress": [2], "state": {"is": "done"}}
    assert stage.names(handle) == dict.fromkeys((1, 2, 3), "DBOS.setEvent")


@pytest.mark.covers(113, 115)
def test_values_of_several_streams_keep_their_order(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        for number in range(3):
            yield ctx.write_stream("numbers", number)
            yield ctx.write_stream("lists", [number, [number]])
        yield ctx.close_stream("numbers")

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert engine.get_streams(handle.id) == {"numbers": [0, 1, 2], "lists": [[0, [0]], [1, [1]], [2, [2]]]}
    assert list(stage.names(handle).values()) == ["DBOS.writeStream"] * 6 + ["DBOS.closeStream"]


@pytest.mark.covers(113)
def test_events_and_streams_are_read_by_clients_and_awaited_too(stage: Stage) -> None:
    async def job(ctx: DurableContext) -> None:
        await ctx.set_event("progress", 1)
        await ctx.write_stream("tokens", "a")

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    async def read(reader: Any) -> list[Any]:
        return [await reader.get_events(handle.id), await reader.get_streams(handle.id), await reader.get_events("no")]

    with make_client(stage) as client:
        assert (
            asyncio.run(read(client.aio)) == asyncio.run(read(engine.aio)) == [{"progress": 1}, {"tokens": ["a"]}, {}]
        )


@pytest.mark.covers(117)
def test_a_value_behind_the_end_of_its_stream_is_an_error_that_is_recorded(stage: Stage, paint: Paint) -> None:
    told: list[str] = []

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.close_stream("tokens")
        try:
            yield ctx.write_stream("tokens", 1)
        except StreamClosed as error:
            told.append(str(error))
        yield ctx.close_stream("tokens")
        yield ctx.sleep(0.5)
        yield ctx.write_stream("others", 1)

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert told == [f"stream 'tokens' of workflow {handle.id} was closed before this value"] * 2
    assert engine.get_streams(handle.id) == {"tokens": [], "others": [1]}


@pytest.mark.covers(120)
def test_a_recovery_publishes_nothing_twice(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        for number in range(3):
            yield ctx.write_stream("numbers", number)
            yield ctx.set_event("last", number)
        yield ctx.sleep(3)
        yield ctx.write_stream("numbers", 3)

    first = stage.launch(job, park_after_seconds=60)
    handle = first.run_workflow("job")
    stage_has(stage, handle.id, 7)
    stage.crash(first)
    second = stage.launch(job)

    second.retrieve_workflow(handle.id).get_result(PATIENCE)

    assert second.get_streams(handle.id) == {"numbers": [0, 1, 2, 3]}
    assert second.get_events(handle.id) == {"last": 2}


@pytest.mark.covers(41)
def test_hundreds_of_gathered_events_and_values_stand_once_each(stage: Stage) -> None:
    async def job(ctx: DurableContext) -> None:
        await asyncio.gather(
            *(ctx.set_event(f"event {number}", number) for number in range(MANY)),
            *(ctx.write_stream("numbers", number) for number in range(MANY)),
        )

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert engine.get_events(handle.id) == {f"event {number}": number for number in range(MANY)}
    assert sorted(engine.get_streams(handle.id)["numbers"]) == list(range(MANY))


@pytest.mark.covers(115)
def test_what_is_published_comes_back_the_same(stage: Stage, paint: Paint) -> None:
    large = "ü" * 1_000_000

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.set_event("naughty", NAUGHTY)
        yield ctx.set_event("typed", Point(1, 2.5))
        yield ctx.write_stream("naughty", NAUGHTY)
        yield ctx.write_stream("naughty", None)
        yield ctx.write_stream("naughty", large)
        yield ctx.write_stream("naughty", (1, [2]))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert engine.get_events(handle.id) == {"naughty": NAUGHTY, "typed": {"x": 1, "y": 2.5}}
    assert engine.get_streams(handle.id) == {"naughty": [NAUGHTY, None, large, [1, [2]]]}


def test_a_key_that_no_database_can_hold_is_refused_at_the_call(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        for key in ("", "a\0b", "\ud800", "k" * 513, 7):
            with pytest.raises(InvalidArgument, match="key"):
                ctx.set_event(key, 1)
            with pytest.raises(InvalidArgument, match="key"):
                ctx.write_stream(key, 1)
            with pytest.raises(InvalidArgument, match="key"):
                ctx.close_stream(key)
        return (yield ctx.step("after", lambda: True, type=bool))

    handle = stage.launch(job).run_workflow("job")

    assert handle.get_result(PATIENCE) is True
    assert stage.names(handle) == {1: "after"}


def test_the_mark_of_an_end_is_no_value(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        with pytest.raises(InvalidArgument, match="close_stream"):
            yield ctx.write_stream("tokens", "__DBOS_STREAM_CLOSED__")

    engine = stage.launch(job)
    handle = engine.run_workflow("job")

    assert handle.get_result(PATIENCE) is None
    assert engine.get_streams(handle.id) == {}


def test_only_the_body_publishes(stage: Stage, paint: Paint) -> None:
    kept: list[Any] = []

    @paint
    def job(ctx: Any) -> Any:
        kept.append(ctx)
        yield ctx.step("step", lambda: ctx.set_event("progress", 1))

    handle = stage.launch(job).run_workflow("job")

    with pytest.raises(NotInWorkflow, match=r"ctx\.set_event"):
        handle.get_result(PATIENCE)
    with pytest.raises(NotInWorkflow, match=r"ctx\.write_stream"):
        kept[0].write_stream("tokens", 1)
    with pytest.raises(NotInWorkflow, match=r"ctx\.close_stream"):
        kept[0].close_stream("tokens")


def stage_has(stage: Stage, workflow_id: str, records: int) -> None:
    """Wait until a workflow has that many records."""
    assert eventually(lambda: len(stage.history(workflow_id)) == records)
