"""A database of the application's that does not hold the state of its workflows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from durust.errors import InvalidArgument
from durust.storage.opening import sqlite_path, without_password
from durust.storage.transactions import OpenTransaction, Transacting


class _Witnesses(Transacting, Protocol):
    location: str

    def close(self) -> None:
        """Close every connection."""


class Datasource:
    """Another database in which the functions of transactions write, by its URL: `postgresql://` or `sqlite:///`.

    Each of them leaves a witness there, a row of the table `datasource_outputs` that commits with what it wrote, so
    that it happens exactly once. The table is made when it is first needed; a role that may not do that needs it there.
    One that names the database of the state takes part in its transactions instead. Nothing is connected before it is
    needed, and `close()` lets the connections go.

    Raises `InvalidArgument` for a URL that cannot be meant.
    """

    def __init__(self, url: str) -> None:
        self._behind = _open(url)

    @property
    def name(self) -> str:
        """Name the database for a reader, without its password."""
        return self._behind.name

    @property
    def location(self) -> str:
        """Return what tells this database from others."""
        return self._behind.location

    @contextmanager
    def transaction(self, isolation: str) -> Iterator[OpenTransaction]:
        """Open a transaction for a function, as durust does for it."""
        with self._behind.transaction(isolation) as opened:
            yield opened

    def close(self) -> None:
        """Close every connection that is not in use. Idempotent."""
        self._behind.close()

    def __repr__(self) -> str:
        return f"Datasource({self.name!r})"


def _open(url: str) -> _Witnesses:
    if not isinstance(url, str):
        raise InvalidArgument("url", url, "must be a text that starts with postgresql:// or sqlite:///")
    # Only the one that is asked for is imported: the other's library costs its users nothing.
    match url.partition("://")[0]:
        case "postgresql" | "postgres":
            from durust.storage.postgres_witnesses import PostgresWitnesses

            return PostgresWitnesses(url)
        case "sqlite":
            from durust.storage.sqlite_witnesses import SqliteWitnesses

            return SqliteWitnesses(sqlite_path(url))
    raise InvalidArgument("url", without_password(url), "must start with postgresql:// or sqlite:///")
