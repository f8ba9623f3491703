"""What plain SQL puts into the tables runs like anything else, and fails where it does not fit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from durust import SerializationError, Status, WorkflowQueue
from tests.conformance.conftest import SHARED
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage

Insert = Callable[[str, str], None]

STATUS = """insert into {schema}workflow_status (workflow_uuid, status, name, queue_name, created_at, updated_at)
            values ('{id}', 'ENQUEUED', 'add', 'mail', 1, 1)"""
INPUT = "insert into {schema}workflow_input (workflow_uuid, inputs) values ('{id}', '{inputs}')"


@pytest.fixture
def insert(url: str) -> Insert:
    """Return `insert(id, inputs)`, which queues a workflow as any program with a connection can."""

    def run(workflow_id: str, inputs: str) -> None:
        schema = "" if url.startswith("sqlite:") else "dbos."
        statements = [text.format(schema=schema, id=workflow_id, inputs=inputs) for text in (STATUS, INPUT)]
        if schema:
            with psycopg.connect(url) as server:
                for statement in statements:
                    server.execute(statement.encode())
        else:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as file, file:
                for statement in statements:
                    file.execute(statement)

    return run


@pytest.mark.covers(177)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_row_that_sql_inserted_runs_and_one_that_does_not_fit_fails(
    stage: Stage, paint: Paint, insert: Insert
) -> None:
    @paint
    def add(ctx: Any, one: int, other: int) -> Any:
        return (yield ctx.step("add", lambda: one + other))

    insert("bad json", "{")
    insert("bad form", "[1, 2]")
    insert("bad type", '{"positionalArgs": [1], "namedArgs": {"other": "two"}}')
    insert("bad number", '{"positionalArgs": [1]}')
    insert("right", '{"positionalArgs": [1], "namedArgs": {"other": 2}}')
    engine = stage.make_engine()
    engine.register("add", add)
    engine.register_queue(WorkflowQueue("mail"))

    engine.launch()

    assert engine.retrieve_workflow("right").get_result(PATIENCE) == 3
    for bad in ("bad json", "bad form", "bad type", "bad number"):
        with pytest.raises((SerializationError, TypeError)):
            engine.retrieve_workflow(bad).get_result(PATIENCE)
        assert stage.row(bad).status is Status.ERROR
