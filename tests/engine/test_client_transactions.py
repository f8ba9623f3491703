"""What is queued in the caller's own transaction comes with its commit and goes with its rollback."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from durust import (
    DurableClient,
    InvalidArgument,
    QueueDeduplicated,
    SchemaMismatch,
    SerializationError,
    Status,
    SyncDurableContext,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowOptions,
)
from tests.conformance.conftest import SHARED
from tests.engine.clients import ADD_NOTE, connect, launch, make_client, notes
from tests.engine.stage import PATIENCE, Stage
from tests.support.server import MakeDatabase

pytestmark = pytest.mark.parametrize("url", SHARED, indirect=True)


def double(_: SyncDurableContext, number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


@pytest.mark.covers(98)
def test_it_is_invisible_before_the_commit_and_runs_after_it(
    stage: Stage, client: DurableClient, own: Any, url: str
) -> None:
    launch(stage, double)
    own.execute(ADD_NOTE)

    handle = client.enqueue_in_transaction(own, "mail", "double", 4, plus=1)

    assert (stage.rows(), notes(url)) == ([], 0)
    with pytest.raises(WorkflowNotFound):
        handle.get_result(PATIENCE)
    own.commit()
    assert handle.get_result(PATIENCE) == 9
    assert notes(url) == 1


@pytest.mark.covers(98)
def test_a_rollback_takes_it_back(stage: Stage, client: DurableClient, own: Any) -> None:
    own.execute(ADD_NOTE)
    handle = client.enqueue_in_transaction(own, "mail", "double", 4)

    own.rollback()

    assert stage.rows() == []
    with pytest.raises(WorkflowNotFound):
        handle.get_status()


@pytest.mark.covers(83, 98)
def test_a_taken_deduplication_id_raises_and_the_transaction_goes_on(
    stage: Stage, client: DurableClient, own: Any, url: str
) -> None:
    options = WorkflowOptions(dedup_id="m-7")
    first = client.enqueue("mail", "double", 1, options=options)

    for _ in range(2):
        with pytest.raises(QueueDeduplicated, match=first.id):
            client.enqueue_in_transaction(own, "mail", "double", 2, options=options)
    own.execute(ADD_NOTE)
    other = client.enqueue_in_transaction(own, "mail", "double", 3)
    own.commit()

    assert notes(url) == 1
    assert {row.workflow_id for row in stage.rows()} == {first.id, other.id}


@pytest.mark.covers(83, 98)
def test_a_deduplication_id_holds_within_the_transaction_too(client: DurableClient, own: Any) -> None:
    options = WorkflowOptions(dedup_id="m-7")
    first = client.enqueue_in_transaction(own, "mail", "double", 1, options=options)

    with pytest.raises(QueueDeduplicated, match=first.id):
        client.enqueue_in_transaction(own, "mail", "double", 2, options=options)


@pytest.mark.covers(1, 2, 98)
def test_an_id_that_exists_is_that_workflow_or_a_conflict(
    stage: Stage, client: DurableClient, own: Any, url: str
) -> None:
    options = WorkflowOptions(workflow_id="the-one")
    client.enqueue("mail", "double", 1, options=options)

    again = client.enqueue_in_transaction(own, "mail", "double", 2, options=options)
    with pytest.raises(WorkflowConflict, match="asked for triple, but it already stands for double"):
        client.enqueue_in_transaction(own, "mail", "triple", 2, options=options)
    own.execute(ADD_NOTE)
    own.commit()

    assert (again.id, notes(url)) == ("the-one", 1)
    assert stage.row("the-one").inputs == '{"positionalArgs":[1],"namedArgs":{}}'


def test_all_that_was_asked_for_stands_in_the_row(stage: Stage, client: DurableClient, own: Any) -> None:
    options = WorkflowOptions(priority=3, dedup_id="m-7", delay=600, app_version="v7")

    handle = client.enqueue_in_transaction(own, "mail", "double", 1, options=options)
    own.commit()

    row = stage.row(handle)
    assert (row.status, row.queue, row.priority, row.dedup_id) == (Status.DELAYED, "mail", 3, "m-7")
    assert (row.app_name, row.app_version, row.serialization) == ("durust", "v7", "portable_json")
    assert row.delay_until_ms == row.created_at_ms + 600_000


def test_what_the_connection_makes_of_rows_and_cursors_does_not_matter(
    stage: Stage, client: DurableClient, own: Any
) -> None:
    if isinstance(own, psycopg.Connection):
        own.row_factory = dict_row
        own.cursor_factory = psycopg.RawCursor
    else:
        own.row_factory = sqlite3.Row
    options = WorkflowOptions(workflow_id="the-one")

    for _ in range(2):
        client.enqueue_in_transaction(own, "mail", "double", 1, options=options)
    own.commit()

    assert [row.workflow_id for row in stage.rows()] == ["the-one"]


@pytest.mark.covers(98)
def test_in_autocommit_mode_it_takes_an_open_transaction(stage: Stage, client: DurableClient, url: str) -> None:
    modes: dict[str, Any] = {"isolation_level": None} if url.startswith("sqlite:") else {"autocommit": True}
    with closing(connect(url, **modes)) as connection:
        with pytest.raises(InvalidArgument, match="autocommit mode: open a transaction"):
            client.enqueue_in_transaction(connection, "mail", "double", 1)
        assert stage.rows() == []

        connection.execute("begin")
        client.enqueue_in_transaction(connection, "mail", "double", 1)
        connection.execute("rollback")
        connection.execute("begin")
        kept = client.enqueue_in_transaction(connection, "mail", "double", 2)
        connection.execute("commit")

    assert [row.workflow_id for row in stage.rows()] == [kept.id]


def test_a_database_without_the_schema_is_said_so(
    stage: Stage, client: DurableClient, url: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    if url.startswith("sqlite:"):
        elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    else:
        make_database: MakeDatabase = request.getfixturevalue("make_database")
        elsewhere = make_database()

    with closing(connect(elsewhere)) as connection, pytest.raises(SchemaMismatch, match="durust db migrate"):
        client.enqueue_in_transaction(connection, "mail", "double", 1)


@pytest.mark.parametrize("make", [object, lambda: None, lambda: "a text"], ids=["object", "None", "text"])
def test_what_is_no_connection_is_refused(client: DurableClient, make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument, match="driver_connection"):
        client.enqueue_in_transaction(make(), "mail", "double", 1)


def test_a_cursor_is_refused(client: DurableClient, own: Any) -> None:
    with pytest.raises(InvalidArgument, match="must be a"):
        client.enqueue_in_transaction(own.cursor(), "mail", "double", 1)


@pytest.mark.covers(84)
def test_inside_a_transaction_nobody_attaches_to_a_holder(client: DurableClient, own: Any) -> None:
    options = WorkflowOptions(dedup_id="m-7", on_duplicate="return")

    with pytest.raises(InvalidArgument, match="on_duplicate"):
        client.enqueue_in_transaction(own, "mail", "double", 1, options=options)


def test_what_cannot_be_written_leaves_the_transaction_as_it_was(client: DurableClient, own: Any, url: str) -> None:
    own.execute(ADD_NOTE)

    with pytest.raises(SerializationError):
        client.enqueue_in_transaction(own, "mail", "double", object())

    own.commit()
    assert notes(url) == 1


@pytest.mark.covers(98)
def test_the_awaiting_view_takes_blocking_connections_too(stage: Stage, own: Any) -> None:
    launch(stage, double)

    async def act() -> None:
        async with make_client(stage).aio as client:
            handle = await client.enqueue_in_transaction(own, "mail", "double", 4)
            own.commit()
            assert await handle == 8

    asyncio.run(act())
