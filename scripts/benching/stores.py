"""The databases that are measured: a fresh one for each measurement, and a watcher that knows when work is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg

from benching.application import QUEUE
from benching.bare import BareWriter
from benching.bare_postgres import BarePostgres
from benching.bare_sqlite import BareSqlite
from durust import clock
from durust.embedded import open_server
from durust.storage.opening import open_provider


class Store(Protocol):
    """One kind of database."""

    title: str

    def make(self) -> str:
        """Make a fresh, migrated database and return its URL."""

    def bare(self, url: str) -> BareWriter:
        """Open a writer of bare SQL."""

    def watch(self, url: str) -> Watcher:
        """Open a watcher."""


class Watcher(Protocol):
    """Looks at the database from outside; its own looks are no part of what is counted."""

    def is_idle(self) -> bool:
        """Tell whether no queued workflow is left, and none runs."""

    def executors(self) -> int:
        """Return how many executors live."""

    def commits(self) -> int | None:
        """Return how many transactions others have committed, or None where the database does not count them."""

    def close(self) -> None:
        """Stop watching."""


class PostgresStore:
    """A server from the wheel, on a disk, with fsync on: the defaults of Postgres."""

    title = "Postgres"

    def __init__(self, folder: Path) -> None:
        self._server = open_server(folder)

    def make(self) -> str:
        url = self._server.create_database(f"bench_{clock.random_token()}")
        _migrate(url)
        return url

    def bare(self, url: str) -> BareWriter:
        return BarePostgres(url)

    def watch(self, url: str) -> Watcher:
        return _PostgresWatcher(url, self._server.url)

    def close(self) -> None:
        """Stop the server."""
        self._server.close()


class _PostgresWatcher:
    def __init__(self, url: str, elsewhere: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        # The counters are asked for from another database, so that asking is not counted.
        self._elsewhere = psycopg.connect(elsewhere, autocommit=True)
        self._database = self._connection.info.dbname
        self._looks = 0

    def is_idle(self) -> bool:
        return not self._ask(
            "select exists (select from dbos.workflow_status where queue_name = %s and status = 'ENQUEUED') "
            "or exists (select from dbos.workflow_status where status = 'PENDING')",
            QUEUE.name,
        )

    def executors(self) -> int:
        return self._ask("select count(*)::integer from durust.executors where state = 'LIVE'")

    def _ask(self, statement: str, *values: str) -> int:
        self._looks += 1
        row = self._connection.execute(statement, values).fetchone()
        return int(row[0]) if row else 0

    def commits(self) -> int | None:
        self._ask("select 1 from pg_stat_force_next_flush()")
        self._ask("select 1")
        row = self._elsewhere.execute(
            "select xact_commit from pg_stat_database where datname = %s", [self._database]
        ).fetchone()
        return int(row[0]) - self._looks if row else None

    def close(self) -> None:
        self._connection.close()
        self._elsewhere.close()


class SqliteStore:
    """Files in a folder, as durust makes them: WAL and `synchronous=FULL`."""

    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> str:
        url = f"sqlite:///{self._folder / clock.random_token()}.db"
        _migrate(url)
        return url

    def bare(self, url: str) -> BareWriter:
        return BareSqlite(_path(url))

    def watch(self, url: str) -> Watcher:
        return _SqliteWatcher(_path(url))

    def close(self) -> None:
        """Leave the files to the folder's end."""


class _SqliteWatcher:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def is_idle(self) -> bool:
        return not self._ask(
            "select exists (select 1 from workflow_status where queue_name = ? and status = 'ENQUEUED') "
            "or exists (select 1 from workflow_status where status = 'PENDING')",
            QUEUE.name,
        )

    def executors(self) -> int:
        return self._ask("select count(*) from durust_executors where state = 'LIVE'")

    def _ask(self, statement: str, *values: str) -> int:
        return int(self._connection.execute(statement, values).fetchone()[0])

    def commits(self) -> int | None:
        return None

    def close(self) -> None:
        self._connection.close()


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _migrate(url: str) -> None:
    provider = open_provider(url)
    try:
        provider.migrate()
    finally:
        provider.close()


@contextmanager
def open_store(title: str, folder: Path) -> Iterator[Store]:
    """Open the kind of database called *title* in *folder*, and close it after."""
    store = PostgresStore(folder / "postgres") if title == PostgresStore.title else SqliteStore(folder)
    try:
        yield store
    finally:
        store.close()
