"""Messages are sent once, from bodies, steps, engines, clients and transactions of the caller's."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from durust import (
    DurableClient,
    DurableEngine,
    InvalidArgument,
    Message,
    MessageRow,
    NotInWorkflow,
    SerializationError,
    SyncDurableContext,
    WorkflowNotFound,
    WorkflowOptions,
)
from tests.conformance.conftest import SHARED
from tests.engine.clients import ADD_NOTE, make_client, notes
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

RECEIVER = "receiver"
# Beyond what a wait keeps its stack for, so that the body runs again.
LONG_ENOUGH_TO_PARK = 0.5


@dataclass(frozen=True)
class Point:
    """A value with a type of its own."""

    x: int
    y: float


def receiver(_: SyncDurableContext) -> None:
    """Stand for whoever is sent to."""


def launch(stage: Stage, *workflows: Any) -> DurableEngine:
    """Return an engine on which a receiver has come and gone."""
    engine = stage.launch(receiver, *workflows)
    engine.run_workflow("receiver", options=WorkflowOptions(workflow_id=RECEIVER)).get_result(PATIENCE)
    return engine


def sent(stage: Stage, workflow_id: str = RECEIVER) -> list[tuple[str | None, str]]:
    """Return the topics and texts of all messages to a workflow."""
    return [(message.topic, message.text) for message in stage.provider.messages(workflow_id)]


@pytest.mark.covers(101)
def test_a_body_sends_once_however_often_it_runs(stage: Stage, paint: Paint) -> None:
    executions: list[int] = []

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.send(RECEIVER, {"n": 1}, "control")
        yield ctx.send(RECEIVER, "plain")
        executions.append(1)
        yield ctx.sleep(LONG_ENOUGH_TO_PARK)

    engine = launch(stage, job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    assert len(executions) == 2
    assert sent(stage) == [("control", '{"n":1}'), (None, '"plain"')]
    assert list(stage.names(handle).values())[:2] == ["DBOS.send", "DBOS.send"]


@pytest.mark.covers(105)
def test_a_body_that_sends_to_nobody_is_told_and_goes_on(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        try:
            yield ctx.send("nobody", 1)
        except WorkflowNotFound as error:
            return error.workflow_id
        return "sent"

    engine = launch(stage, job)
    handle = engine.run_workflow("job")

    assert handle.get_result(PATIENCE) == "nobody"
    [record] = stage.history(handle).values()
    assert record.name == "DBOS.send"
    assert "WorkflowNotFound" in (record.error or "")


@pytest.mark.covers(105)
def test_a_recorded_refusal_is_raised_again_though_the_receiver_came_since(stage: Stage, paint: Paint) -> None:
    told: list[str] = []

    @paint
    def job(ctx: Any) -> Any:
        try:
            yield ctx.send("later", 1)
        except WorkflowNotFound:
            told.append("refused")
        yield ctx.sleep(LONG_ENOUGH_TO_PARK)

    engine = launch(stage, job)
    handle = engine.run_workflow("job")
    assert eventually(lambda: told)
    engine.run_workflow("receiver", options=WorkflowOptions(workflow_id="later")).get_result(PATIENCE)
    handle.get_result(PATIENCE)

    assert told == ["refused", "refused"]
    assert sent(stage, "later") == []


@pytest.mark.covers(106)
def test_an_idempotency_key_sends_once_to_each_receiver(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.send(RECEIVER, 1, idempotency_key="k")
        yield ctx.send(RECEIVER, 2, idempotency_key="k")
        yield ctx.send(ctx.workflow_id, 3, idempotency_key="k")
        yield ctx.send(RECEIVER, 4, idempotency_key="l")

    engine = launch(stage, job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)
    engine.send(RECEIVER, 5, idempotency_key="k")

    assert [text for _, text in sent(stage)] == ["1", "4"]
    assert [text for _, text in sent(stage, handle.id)] == ["3"]
    assert {message.message_id for message in engine.list_messages(RECEIVER)} == {"k::receiver", "l::receiver"}


def test_a_value_that_cannot_be_written_is_refused_before_anything_is_sent(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        with pytest.raises(SerializationError, match=f"message to {RECEIVER}"):
            yield ctx.send(RECEIVER, [object()])
        yield ctx.send(RECEIVER, Point(1, 2.5))

    engine = launch(stage, job)
    engine.run_workflow("job").get_result(PATIENCE)

    assert [text for _, text in sent(stage)] == ['{"x":1,"y":2.5}']


@pytest.mark.covers(108)
def test_a_step_sends_by_the_engine_and_not_by_the_context(stage: Stage, paint: Paint) -> None:
    engines: list[DurableEngine] = []

    @paint
    def job(ctx: Any) -> Any:
        def notify() -> str:
            engines[0].send(RECEIVER, "from a step", idempotency_key=ctx.workflow_id)
            with pytest.raises(NotInWorkflow):
                ctx.send(RECEIVER, "no")
            return "notified"

        yield ctx.step("notify", notify)

    engines.append(launch(stage, job))
    engines[0].run_workflow("job").get_result(PATIENCE)

    assert sent(stage) == [(None, '"from a step"')]


@pytest.mark.covers(108)
def test_a_body_does_not_send_by_the_engine(stage: Stage, paint: Paint) -> None:
    engines: list[DurableEngine] = []

    @paint
    def job(ctx: Any) -> Any:
        with pytest.raises(InvalidArgument, match=r"ctx\.send"):
            engines[0].send(RECEIVER, "no")
        yield ctx.sleep(0)

    engines.append(launch(stage, job))
    engines[0].run_workflow("job").get_result(PATIENCE)

    assert sent(stage) == []


@pytest.mark.covers(107, 108, 113)
def test_engines_and_clients_send_and_list_also_awaited(stage: Stage) -> None:
    engine = launch(stage)

    async def send(sender: Any) -> list[MessageRow]:
        await sender.send(RECEIVER, 1, "awaited")
        await sender.send_many([Message(RECEIVER, 2), Message(RECEIVER, 3, idempotency_key="three")])
        listed: list[MessageRow] = await sender.list_messages(RECEIVER)
        return listed

    with make_client(stage) as client:
        for sender in (engine, client):
            sender.send(RECEIVER, 0, "blocking")
            sender.send_many([])
            found = asyncio.run(send(sender.aio))
            assert found == sender.list_messages(RECEIVER)

    first = [("blocking", "0"), ("awaited", "1"), (None, "2")]
    assert sent(stage) == [*first, (None, "3"), *first]
    assert engine.list_messages("unknown") == []


@pytest.mark.covers(105, 107)
def test_what_goes_to_nobody_is_refused_whole(stage: Stage) -> None:
    engine = launch(stage)

    with pytest.raises(WorkflowNotFound, match="nobody"):
        engine.send_many([Message(RECEIVER, 1), Message("nobody", 2)])
    with pytest.raises(WorkflowNotFound, match="nobody"):
        engine.send("nobody", 1)

    assert sent(stage) == []


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"destination_id": ""}, "destination_id"),
        ({"topic": ""}, "topic"),
        ({"topic": "\0"}, "topic"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a::b"}, "idempotency_key"),
        ({"idempotency_key": "a:"}, "idempotency_key"),
    ],
    ids=str,
)
@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_what_cannot_be_meant_is_refused(stage: Stage, fields: dict[str, Any], name: str) -> None:
    engine = launch(stage)

    with pytest.raises(InvalidArgument, match=name):
        engine.send(**{"destination_id": RECEIVER, "message": 1, **fields})
    with pytest.raises(InvalidArgument, match="Message"):
        engine.send_many(["no message"])  # type: ignore[list-item]  # that is the point

    assert sent(stage) == []


# In the caller's transaction


@pytest.mark.covers(108)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_message_in_a_transaction_comes_with_its_commit(
    stage: Stage, client: DurableClient, own: Any, url: str
) -> None:
    launch(stage)
    own.execute(ADD_NOTE)

    client.send_in_transaction(own, RECEIVER, 1, "topic")

    assert (sent(stage), notes(url)) == ([], 0)
    own.commit()
    assert (sent(stage), notes(url)) == ([("topic", "1")], 1)


@pytest.mark.covers(108)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_rollback_takes_a_message_back_and_one_to_nobody_leaves_the_transaction(
    stage: Stage, client: DurableClient, own: Any, url: str
) -> None:
    launch(stage)
    client.send_in_transaction(own, RECEIVER, 1)
    own.rollback()
    own.execute(ADD_NOTE)

    with pytest.raises(WorkflowNotFound, match="nobody"):
        client.send_in_transaction(own, "nobody", 2)

    own.commit()
    assert (sent(stage), notes(url)) == ([], 1)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_message_is_awaited_on_an_async_connection(stage: Stage, client: DurableClient, url: str) -> None:
    launch(stage)

    async def send() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await client.aio.send_in_transaction(connection, RECEIVER, 1)

    asyncio.run(send())

    assert sent(stage) == [(None, "1")]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_an_open_transaction_does_not_hold_the_receiver_up(stage: Stage, client: DurableClient, url: str) -> None:
    engine = launch(stage)
    with closing(psycopg.connect(url)) as slow:
        client.send_in_transaction(slow, RECEIVER, "late")

        engine.send(RECEIVER, "quick")

        assert sent(stage) == [(None, '"quick"')]
        slow.commit()
    assert sent(stage) == [(None, '"late"'), (None, '"quick"')]
