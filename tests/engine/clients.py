"""Clients beside the engines of a stage, and the connections of those who use them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from durust import DurableClient, DurableEngine, Settings, WorkflowQueue
from tests.engine.stage import QUICK, Stage

# A table of the caller's own.
MAKE_NOTES = "create table notes (note text)"
ADD_NOTE = "insert into notes values ('mine')"


def make_client(stage: Stage, **settings: Any) -> DurableClient:
    """Return a client of the stage's database, to be closed by its test; in memory it shares the stage's provider."""
    database = stage.provider if stage.url.startswith("memory:") else stage.url
    return DurableClient(database, settings=Settings(**{**QUICK, **settings}))


def launch(stage: Stage, *workflows: Any, queue: str = "mail", **settings: Any) -> DurableEngine:
    """Return a launched engine that knows *workflows* by the names of their functions, and serves *queue*."""
    engine = stage.make_engine(**settings)
    for workflow in workflows:
        engine.register(workflow.__name__, workflow)
    engine.register_queue(WorkflowQueue(queue))
    engine.launch()
    return engine


def connect(url: str, **options: Any) -> Any:
    """Return a connection of the caller's, as the driver makes it."""
    if url.startswith("sqlite:"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10, **options)
    return psycopg.connect(url, **options)


def notes(url: str) -> int:
    """Count what the caller's own statements have committed."""
    with closing(connect(url)) as connection:
        return int(connection.execute("select count(*) from notes").fetchone()[0])
