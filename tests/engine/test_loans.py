"""A function that holds the one write lock of a SQLite file is told so where it would wait for that lock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from durust import (
    Datasource,
    DurableClient,
    DurableEngine,
    ProviderMisuse,
    ProviderUnavailable,
    WorkflowOptions,
    clock,
)
from durust.engine import journal
from durust.storage import sqlite_links
from tests.engine.clients import launch, make_client
from tests.engine.colours import Paint
from tests.engine.lines import note, notes
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

pytestmark = [pytest.mark.parametrize("url", ["sqlite"], indirect=True), pytest.mark.usefixtures("lines")]

ONE = WorkflowOptions(workflow_id="one")
# Far below the ten seconds that a writer waits for another, and far above what a refusal takes on a busy machine.
AT_ONCE_SECONDS = 3.0
REMEDY = r"client\.send_in_transaction"


def asks_of(engine: DurableEngine, client: DurableClient) -> dict[str, Callable[[], object]]:
    """Return everything that would wait for the lock of the file, by its name."""
    return {
        "engine sends": lambda: engine.send("one", "hello"),
        "engine cancels": lambda: engine.cancel_workflow("one"),
        "engine purges": lambda: engine.purge(keep=0),
        "client enqueues": lambda: client.enqueue("mail", "idle"),
        "client enqueues many": lambda: client.enqueue_many("mail", "idle", [(), ()]),
        "client sends": lambda: client.send("one", "hello"),
        "a loop of the function's sends": lambda: asyncio.run(_send(client)),
        "a thread of its loop sends": lambda: asyncio.run(asyncio.to_thread(client.send, "one", "hello")),
        "engine waits for a result": lambda: engine.retrieve_workflow("one").get_result(),
        "engine waits for an event": lambda: engine.get_event("one", "never"),
        "a loop waits for a result": lambda: asyncio.run(engine.retrieve_workflow("one").aio.get_result()),
        "a loop waits for an event": lambda: asyncio.run(engine.aio.get_event("one", "never")),
    }


async def _send(client: DurableClient) -> None:
    await client.aio.send("one", "hello")


def idle(ctx: Any) -> None:
    """Do nothing."""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Datasource]:
    """Return another file."""
    with closing(Datasource(f"sqlite:///{tmp_path}/other.db")) as made:
        yield made


def test_a_function_that_would_wait_for_its_own_lock_is_refused_at_once(
    stage: Stage, paint: Paint, client: DurableClient
) -> None:
    refused: set[str] = set()
    begun = clock.monotonic()

    def charge(connection: Any) -> None:
        for name, ask in asks_of(engine, client).items():
            with pytest.raises(ProviderMisuse, match=REMEDY):
                ask()
            refused.add(name)

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(charge)

    engine = launch(stage, order, idle)
    engine.start("order", options=ONE)

    assert refused == set(asks_of(engine, client))
    assert clock.monotonic() - begun < AT_ONCE_SECONDS
    assert engine.start("idle") is None


def test_the_refusal_is_an_error_of_the_function_and_undoes_it(stage: Stage, client: DurableClient, lines: Any) -> None:
    def charge(connection: Any) -> None:
        note(connection, "charged")
        client.send("one", "hello")

    def order(ctx: Any) -> Any:
        ctx.transaction(charge)

    with pytest.raises(ProviderMisuse, match=REMEDY):
        stage.launch(order).start("order", options=ONE)
    assert notes(lines) == []


def test_a_function_may_read_what_is_there_while_it_holds_the_lock(stage: Stage, client: DurableClient) -> None:
    def look(connection: Any) -> Any:
        return [
            engine.retrieve_workflow("done").get_result(),
            client.get_event("done", "colour"),
            client.get_event("done", "never", timeout=0),
        ]

    def done(ctx: Any) -> int:
        ctx.set_event("colour", "red")
        return 7

    def order(ctx: Any) -> Any:
        return ctx.transaction(look)

    engine = stage.launch(order, done)
    engine.start("done", options=WorkflowOptions(workflow_id="done"))

    assert engine.start("order") == [7, "red", None]


def test_a_function_that_holds_another_file_writes_to_this_one(
    stage: Stage, client: DurableClient, other: Datasource
) -> None:
    def charge(connection: Any) -> str:
        return client.enqueue("mail", "idle").id

    def order(ctx: Any) -> Any:
        return ctx.transaction(charge, database=other)

    assert stage.row(stage.launch(order).start("order")).name == "idle"


def test_a_client_of_the_file_that_a_datasource_holds_is_refused(
    stage: Stage, url: str, tmp_path: Path, other: Datasource
) -> None:
    def charge(connection: Any) -> None:
        elsewhere.enqueue("mail", "idle")

    def order(ctx: Any) -> Any:
        return ctx.transaction(charge, database=other)

    second = Stage(other.location)
    second.provider.migrate()
    with make_client(second) as elsewhere, closing(second):
        elsewhere.list_workflows()
        with pytest.raises(ProviderMisuse, match=REMEDY):
            stage.launch(order).start("order")


def test_what_a_function_leaves_running_may_write_when_the_lock_is_free(
    stage: Stage, client: DurableClient, lines: Any
) -> None:
    may_write = threading.Event()
    written: list[str] = []

    async def write_late() -> None:
        await asyncio.to_thread(may_write.wait)
        written.append((await client.aio.enqueue("mail", "idle")).id)

    async def order(ctx: Any) -> None:
        loop = asyncio.get_running_loop()

        def charge(connection: Any) -> None:
            note(connection, "charged")
            asyncio.run_coroutine_threadsafe(write_late(), loop)

        await ctx.transaction(charge)
        may_write.set()

    stage.launch(order).start("order")

    eventually(lambda: written)
    assert notes(lines) == ["charged"]


def test_a_thread_of_the_function_is_told_who_holds_the_lock_and_not_kept_for_long(
    stage: Stage, client: DurableClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_links, "BUSY_SECONDS", 0.3)
    monkeypatch.setattr(journal, "LENT_SECONDS", 0.3)
    told: list[BaseException] = []

    def send() -> None:
        try:
            client.send("one", "hello")
        except ProviderUnavailable as error:
            told.append(error)

    def charge(connection: Any) -> None:
        helper = threading.Thread(target=send)
        helper.start()
        helper.join(PATIENCE)

    def order(ctx: Any) -> None:
        ctx.transaction(charge)

    client.list_workflows()
    stage.launch(order).start("order", options=ONE)

    assert "the function of a transaction in this process holds" in str(told[0])
