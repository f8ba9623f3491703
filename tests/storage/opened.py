"""A migrated SQLite file for the time of a `with`, and a look into it past durust."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from durust.storage.sqlite import SqliteProvider


@contextmanager
def opened(path: Path) -> Iterator[SqliteProvider]:
    """Lend a provider on the migrated file at *path*."""
    provider = SqliteProvider(path)
    provider.migrate()
    yield provider
    provider.close()


def ask(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement on the file and commit it."""
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        return connection.execute(sql, values).fetchall()
