"""A body receives each message once, in the order of its topic, whether it waits for it or not."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    InvalidArgument,
    Message,
    NotInWorkflow,
    SerializationError,
    Status,
    WorkflowHandle,
    WorkflowOptions,
)
from durust.routines.replay import TIMEOUT_NAME
from tests.engine.clients import connect, make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.hintless import HintlessLine
from tests.support.waiting import eventually

# Kept in memory, however long it takes to look at it.
STAYS: dict[str, Any] = {"park_after_seconds": 3600.0}
PARKS: dict[str, Any] = {"park_after_seconds": 0.05}
# So that only a hint brings news within a test.
RARELY: dict[str, Any] = {"idle_poll_seconds": 60.0, "sweep_seconds": 60.0}
WAITS = pytest.mark.parametrize("settings", [STAYS | RARELY, PARKS | RARELY], ids=["in memory", "parked"])
ON_POSTGRES = pytest.mark.parametrize("url", ["postgres"], indirect=True)
ID = WorkflowOptions(workflow_id="receiver")


@dataclass(frozen=True)
class Point:
    """A value with a type of its own."""

    x: int
    y: float


def until_it_waits(stage: Stage, engine: DurableEngine, handle: WorkflowHandle[Any]) -> None:
    """Wait until the workflow waits, in memory or parked."""
    if engine.settings.park_after_seconds > PATIENCE:
        assert eventually(parts(engine).watcher.is_watched)
    else:
        assert eventually(lambda: stage.row(handle).status is Status.DELAYED)


@pytest.mark.covers(101, 109)
def test_what_came_before_is_received_by_topic_in_its_order(stage: Stage, paint: Paint) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        yield ctx.recv("start", PATIENCE)
        got: list[Any] = []
        for topic in ("a", None, "b", "a", None):
            got += [(yield ctx.recv(topic, PATIENCE))]
        return got

    engine = stage.launch(receiver)
    handle = engine.run_workflow("receiver")
    sent = (("a", 1), (None, 2), ("a", 3), ("b", 4), (None, 5), ("start", 0))
    engine.send_many([Message(handle.id, text, topic) for topic, text in sent])

    assert handle.get_result(PATIENCE) == [1, 2, 4, 3, 5]
    assert [message.is_consumed for message in engine.list_messages(handle.id)] == [True] * 6
    assert set(stage.names(handle).values()) <= {"DBOS.recv", TIMEOUT_NAME}


@pytest.mark.covers(110)
@WAITS
@pytest.mark.parametrize("by", ["its engine", "another engine", "a client"])
def test_a_message_wakes_whoever_waits_for_it(stage: Stage, paint: Paint, by: str, settings: dict[str, Any]) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        return (yield ctx.recv("topic"))

    engine = stage.launch(receiver, **settings)
    handle = engine.run_workflow("receiver")
    until_it_waits(stage, engine, handle)

    with make_client(stage) as client:
        sender: Any = {"its engine": engine, "another engine": None, "a client": client}[by] or stage.launch()
        sender.send(handle.id, {"n": 1}, "topic")

        assert handle.get_result(PATIENCE) == {"n": 1}
    assert stage.names(handle) == {1: "DBOS.recv"}
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(102)
@pytest.mark.parametrize("settings", [STAYS, PARKS], ids=["in memory", "parked"])
def test_a_timeout_gives_none_and_a_replay_sees_it_again(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    executions: list[Any] = []

    @paint
    def receiver(ctx: Any) -> Any:
        got = yield ctx.recv("topic", 0.3, type=Point)
        executions.append(got)
        yield ctx.send(ctx.workflow_id, "late", "topic")
        yield ctx.sleep(0.3)
        return [got, (yield ctx.recv("topic", PATIENCE))]

    engine = stage.launch(receiver, **settings)
    handle = engine.run_workflow("receiver")

    assert handle.get_result(PATIENCE) == [None, "late"]
    assert set(executions) == {None}
    names = stage.names(handle)
    assert (names[1], names[2], stage.history(handle)[1].output) == ("DBOS.recv", TIMEOUT_NAME, "null")


@pytest.mark.covers(102)
def test_no_patience_at_all_takes_what_is_there(stage: Stage, paint: Paint) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        first = yield ctx.recv(timeout=0)
        yield ctx.send(ctx.workflow_id, 1)
        return [first, (yield ctx.recv(timeout=0)), (yield ctx.recv(timeout=0))]

    engine = stage.launch(receiver, **RARELY)
    handle = engine.run_workflow("receiver")

    assert handle.get_result(PATIENCE) == [None, 1, None]
    assert list(stage.names(handle).values()) == ["DBOS.recv", "DBOS.send", "DBOS.recv", "DBOS.recv"]


@pytest.mark.covers(103)
def test_a_replay_consumes_nothing_again(stage: Stage, paint: Paint) -> None:
    executions: list[Any] = []

    @paint
    def receiver(ctx: Any) -> Any:
        executions.append((yield ctx.recv()))
        yield ctx.sleep(0.4)
        return [executions[-1], (yield ctx.recv(timeout=0)), (yield ctx.recv(timeout=0))]

    engine = stage.launch(receiver)
    handle = engine.run_workflow("receiver")
    engine.send_many([Message(handle.id, number) for number in (1, 2)])

    assert handle.get_result(PATIENCE) == [1, 2, None]
    assert executions == [1, 1]


@pytest.mark.covers(103)
@WAITS
def test_a_crash_of_the_receiver_loses_and_doubles_nothing(
    stage: Stage, paint: Paint, settings: dict[str, Any]
) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        return [(yield ctx.recv()), (yield ctx.recv())]

    engine = stage.launch(receiver, **settings)
    handle = engine.run_workflow("receiver", options=ID)
    until_it_waits(stage, engine, handle)
    stage.crash(engine)

    with make_client(stage) as client:
        client.send("receiver", 1)
        other = stage.launch(receiver, **PARKS)
        client.send("receiver", 2)

        assert other.retrieve_workflow("receiver").get_result(PATIENCE) == [1, 2]


@pytest.mark.covers(104)
@pytest.mark.parametrize("settings", [STAYS, PARKS], ids=["in memory", "parked"])
def test_the_second_of_two_waits_for_one_topic_is_refused(stage: Stage, settings: dict[str, Any]) -> None:
    async def receiver(ctx: DurableContext) -> list[Any]:
        got = await asyncio.gather(ctx.recv("a"), ctx.recv("b"), ctx.recv("a"), ctx.recv(), return_exceptions=True)
        await ctx.sleep(0.3)
        return [str(each) for each in (*got, await ctx.recv("a"))]

    engine = stage.launch(receiver, **settings)
    handle = engine.run_workflow("receiver")
    until_it_waits(stage, engine, handle)
    engine.send_many([Message(handle.id, 1, "a"), Message(handle.id, 2, "b"), Message(handle.id, 3)])
    engine.send(handle.id, 4, "a")

    first, second, refused, third, fourth = handle.get_result(PATIENCE)
    assert (first, second, third, fourth) == ("1", "2", "3", "4")
    assert "another task of this workflow waits for it already" in refused


@pytest.mark.covers(108)
def test_a_step_receives_nothing(stage: Stage, paint: Paint) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        def look() -> str:
            with pytest.raises(NotInWorkflow):
                ctx.recv()
            return "looked"

        return (yield ctx.step("look", look))

    engine = stage.launch(receiver)

    assert engine.run_workflow("receiver").get_result(PATIENCE) == "looked"


def test_a_message_is_rebuilt_as_its_type_and_a_wrong_one_is_received_all_the_same(stage: Stage, paint: Paint) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        point = yield ctx.recv(type=Point)
        with pytest.raises(SerializationError):
            yield ctx.recv(type=Point)
        return [point == Point(1, 2.5), (yield ctx.recv())]

    engine = stage.launch(receiver)
    handle = engine.run_workflow("receiver")
    engine.send_many([Message(handle.id, each) for each in (Point(1, 2.5), "no point", "next")])

    assert handle.get_result(PATIENCE) == [True, "next"]


@pytest.mark.parametrize("url", ["memory"], indirect=True)
@pytest.mark.parametrize("asked", [{"topic": ""}, {"topic": "\0"}, {"timeout": -1}, {"timeout": "long"}], ids=str)
def test_what_cannot_be_meant_is_refused(stage: Stage, paint: Paint, asked: dict[str, Any]) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        with pytest.raises(InvalidArgument):
            yield ctx.recv(**asked)
        return (yield ctx.recv(timeout=0))

    assert stage.launch(receiver).run_workflow("receiver").get_result(PATIENCE) is None


def test_two_workflows_answer_each_other(stage: Stage, paint: Paint) -> None:
    @paint
    def ping(ctx: Any, other: str) -> Any:
        got: list[Any] = []
        for number in range(10):
            yield ctx.send(other, number)
            got += [(yield ctx.recv())]
        return got

    @paint
    def pong(ctx: Any, other: str) -> Any:
        for _ in range(10):
            yield ctx.send(other, 10 * (yield ctx.recv()))

    engine = stage.launch(ping, pong, **RARELY)
    engine.run_workflow("pong", "ping", options=WorkflowOptions(workflow_id="pong"))

    handle = engine.run_workflow("ping", "pong", options=WorkflowOptions(workflow_id="ping"))

    assert handle.get_result(PATIENCE) == [10 * number for number in range(10)]


def test_a_wait_that_the_body_cuts_short_leaves_the_message_to_the_next(stage: Stage) -> None:
    async def receiver(ctx: DurableContext) -> list[Any]:
        got: list[Any] = []
        try:
            async with asyncio.timeout(0.2):
                got.append(await ctx.recv())
        except TimeoutError:
            got.append("cut")
        await ctx.sleep(0.3)
        return [*got, await ctx.recv()]

    engine = stage.launch(receiver)
    handle = engine.run_workflow("receiver")
    assert eventually(lambda: 1 in stage.history(handle))
    engine.send(handle.id, "late")

    assert handle.get_result(PATIENCE) == ["cut", "late"]


@pytest.mark.covers(109)
@pytest.mark.parametrize("settings", [STAYS, PARKS], ids=["in memory", "parked"])
def test_a_message_is_found_by_the_poll_when_every_hint_is_lost(
    stage: Stage, paint: Paint, settings: dict[str, Any]
) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        return (yield ctx.recv())

    engine = stage.make_engine(HintlessLine(stage.make_line()), **settings)
    engine.register("receiver", receiver)
    engine.launch()
    handle = engine.run_workflow("receiver")
    until_it_waits(stage, engine, handle)

    with make_client(stage) as client:
        client.send(handle.id, "found")

    assert handle.get_result(PATIENCE) == "found"


# By other hands


@pytest.mark.covers(109, 110, 178)
@ON_POSTGRES
@WAITS
@pytest.mark.parametrize("by", ["plain SQL", "a transaction"])
def test_a_message_of_another_hand_wakes_whoever_waits_for_it(
    stage: Stage, paint: Paint, by: str, settings: dict[str, Any]
) -> None:
    @paint
    def receiver(ctx: Any) -> Any:
        return [(yield ctx.recv("topic")), (yield ctx.recv())]

    engine = stage.launch(receiver, **settings)
    handle = engine.run_workflow("receiver", options=ID)
    until_it_waits(stage, engine, handle)

    with closing(connect(stage.url)) as connection, make_client(stage) as client:
        if by == "plain SQL":
            connection.execute("select dbos.send_message('receiver', '{\"n\": 1}', 'topic', 'once')")
            connection.execute("select dbos.send_message('receiver', '2', 'topic', 'once')")
            connection.execute("select dbos.send_message('receiver', '3')")
        else:
            client.send_in_transaction(connection, "receiver", {"n": 1}, "topic")
            client.send_in_transaction(connection, "receiver", 3)
        connection.commit()

        assert handle.get_result(PATIENCE) == [{"n": 1}, 3]
