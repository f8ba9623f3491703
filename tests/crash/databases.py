"""A database for each case, copied from one that was migrated once."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from durust import clock
from durust.embedded import Server
from durust.storage.opening import open_provider

# What the functions of transactions write to: without a key, so that whatever is written twice stands there twice.
MAKE_LINES = "create table lines (step integer, value text)"
READ_LINES = "select step, value from lines order by step, value"


class Database(Protocol):
    """One case's database."""

    url: str

    def empty(self) -> None:
        """Lose everything, the schema too."""

    def forget_executors(self) -> None:
        """Lose every executor and its lease."""

    def forget_settling(self) -> None:
        """Lose how far the schedules are settled."""

    def forget_step(self, place: int) -> None:
        """Lose the record of a step."""

    def make_lines(self) -> None:
        """Make a table of the application's own."""

    def forget_witnesses(self) -> None:
        """Lose the witnesses of what was written there."""

    def lines(self) -> list[tuple[int, str]]:
        """Return what the application has written there: steps and values."""

    def forget_key(self) -> None:
        """Lose by which write the values of streams were appended."""

    def forget_value(self) -> None:
        """Lose what an event was set to: of two parts it has one left."""

    def forget_attributes(self) -> None:
        """Lose the attributes of all workflows."""

    def forget_children(self) -> None:
        """Lose every workflow that another one started."""


class Postgres:
    """A database on the run's server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def empty(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("drop schema dbos, durust cascade")

    def forget_executors(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from durust.executors")
            connection.execute("delete from durust.leases")

    def forget_settling(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from durust.schedules")

    def forget_step(self, place: int) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from dbos.operation_outputs where function_id = %s", [place])

    def make_lines(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(MAKE_LINES)

    def forget_witnesses(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from dbos.datasource_outputs")

    def lines(self) -> list[tuple[int, str]]:
        with psycopg.connect(self.url) as connection:
            return list(connection.execute(READ_LINES))

    def forget_key(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("update dbos.streams set durust_key = null")

    def forget_children(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from dbos.workflow_status where parent_workflow_id is not null")

    def forget_value(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "update dbos.workflow_events set value = json_build_array(value::json -> 0, 'lost')::text"
            )

    def forget_attributes(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("update dbos.workflow_status set attributes = null")


class Sqlite:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    def empty(self) -> None:
        self._path.unlink()

    def forget_executors(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from durust_executors")
            connection.execute("delete from durust_leases")

    def forget_settling(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from durust_schedules")

    def forget_step(self, place: int) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from operation_outputs where function_id = ?", [place])

    def make_lines(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(MAKE_LINES)

    def forget_witnesses(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from datasource_outputs")

    def lines(self) -> list[tuple[int, str]]:
        with closing(sqlite3.connect(self._path)) as connection:
            return list(connection.execute(READ_LINES))

    def forget_key(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("update streams set durust_key = null")

    def forget_children(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from workflow_status where parent_workflow_id is not null")

    def forget_value(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("update workflow_events set value = json_array(json_extract(value, '$[0]'), 'lost')")

    def forget_attributes(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("update workflow_status set attributes = null")


class Source:
    """Makes databases; the first of a kind is migrated, the others are its copies."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request, self._folder = request, folder
        self._templates: dict[str, str] = {}

    def make(self, kind: str) -> Database:
        """Return a fresh database of a kind."""
        return self._postgres() if kind == "postgres" else self._sqlite()

    def drop(self, database: Database) -> None:
        """Let go of what a case does not need any more."""
        if isinstance(database, Postgres):
            self._server.drop_database(database.url.partition("@/")[2].partition("?")[0])

    @property
    def _server(self) -> Server:
        server: Server = self._request.getfixturevalue("server")
        return server

    def _postgres(self) -> Postgres:
        if "postgres" not in self._templates:
            name = f"template_{clock.random_token()}"
            _migrate(self._server.create_database(name))
            self._templates["postgres"] = name
        name = f"crash_{clock.random_token()}"
        return Postgres(self._server.create_database(name, template=self._templates["postgres"]))

    def _sqlite(self) -> Sqlite:
        template = self._folder / "template.db"
        if not template.exists():
            _migrate(f"sqlite:///{template}")
        path = self._folder / f"{clock.random_token()}.db"
        shutil.copyfile(template, path)
        return Sqlite(path)


def _migrate(url: str) -> None:
    provider = open_provider(url)
    try:
        provider.migrate()
    finally:
        provider.close()


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return the source of databases of this process."""
    return Source(request, tmp_path_factory.mktemp("crash"))
