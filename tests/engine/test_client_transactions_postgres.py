"""Transactions of the caller's on Postgres: async ones, what their commit tells, and two that want one id."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    QueueDeduplicated,
    SchemaMismatch,
    SyncDurableContext,
    WorkflowNotFound,
    WorkflowOptions,
)
from durust.storage.announcements import CHANNEL
from tests.engine.clients import ADD_NOTE, connect, launch, make_client, notes
from tests.engine.stage import PATIENCE, Stage
from tests.storage.races import Race
from tests.support.server import MakeDatabase

pytestmark = pytest.mark.parametrize("url", ["postgres"], indirect=True)


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


@pytest.mark.covers(98)
def test_an_async_connection_is_awaited(stage: Stage, own: Any, url: str) -> None:
    launch(stage, double)

    async def act() -> None:
        connection = await psycopg.AsyncConnection.connect(url)
        async with make_client(stage).aio as client, connection:
            taken_back = await client.enqueue_in_transaction(connection, "mail", "double", 3)
            await connection.rollback()
            with pytest.raises(WorkflowNotFound):
                await taken_back.aio.get_status()
            options = WorkflowOptions(dedup_id="m-7")
            kept = await client.enqueue_in_transaction(connection, "mail", "double", 4, options=options)
            with pytest.raises(QueueDeduplicated, match=kept.id):
                await client.enqueue_in_transaction(connection, "mail", "double", 4, options=options)
            assert stage.rows() == []
            await connection.execute(ADD_NOTE)
            await connection.commit()
            assert await kept == 8
            with make_client(stage) as blocking, pytest.raises(InvalidArgument, match=r"await client\.aio"):
                blocking.enqueue_in_transaction(connection, "mail", "double", 4)

    asyncio.run(act())
    assert notes(url) == 1


def test_an_async_connection_to_a_database_without_the_schema_is_said_so(
    stage: Stage, make_database: MakeDatabase
) -> None:
    async def act() -> None:
        connection = await psycopg.AsyncConnection.connect(make_database())
        async with make_client(stage).aio as client, connection:
            with pytest.raises(SchemaMismatch, match="durust db migrate"):
                await client.enqueue_in_transaction(connection, "mail", "double", 3)
            await connection.rollback()

    asyncio.run(act())


@pytest.mark.covers(98, 110)
def test_the_commit_itself_tells_the_workers_unless_it_is_not_to(client: DurableClient, own: Any, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {CHANNEL}")

        client.enqueue_in_transaction(own, "silent", "double", 1, wake=False)
        own.commit()
        client.enqueue_in_transaction(own, "taken back", "double", 1)
        own.rollback()
        client.enqueue_in_transaction(own, "loud", "double", 1)
        before = list(listener.notifies(timeout=0))
        own.commit()
        [heard] = [one.payload for one in listener.notifies(timeout=PATIENCE, stop_after=1)]

    assert (before, heard) == ([], '[["queue", "loud"]]')


def test_the_callers_commit_waits_for_the_disk_as_he_wants_it_to(client: DurableClient, own: Any) -> None:
    client.enqueue_in_transaction(own, "mail", "double", 1)

    assert own.execute("show synchronous_commit").fetchone() == ("on",)
    own.rollback()


@pytest.mark.covers(83, 98)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_transactions_that_ask_for_one_deduplication_id_come_one_after_the_other(
    client: DurableClient, own: Any, url: str, end: str
) -> None:
    options = WorkflowOptions(dedup_id="m-7")
    with closing(connect(url)) as other, closing(Race(url)) as race, ThreadPoolExecutor(1) as thread:
        first = client.enqueue_in_transaction(own, "mail", "double", 1, options=options)
        asking = thread.submit(client.enqueue_in_transaction, other, "mail", "double", 2, options=options)
        race.until_blocked(other.info.backend_pid)

        getattr(own, end)()

        if end == "commit":
            with pytest.raises(QueueDeduplicated, match=first.id):
                asking.result(PATIENCE)
            assert other.execute("select 1").fetchone() == (1,)
        else:
            assert asking.result(PATIENCE).id != first.id
        other.commit()
