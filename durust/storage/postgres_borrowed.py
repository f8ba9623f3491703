"""A connection to Postgres that is the caller's, and what runs on it a part of his transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import pq
from psycopg.rows import tuple_row

from durust.errors import InvalidArgument, SchemaMismatch
from durust.storage.links import Call, Row, fault


class BorrowedPostgres:
    """A connection of the caller's: what runs on it is part of his transaction, and its faults are the driver's own.

    Raises `InvalidArgument` for a connection of another kind, or one that would commit each statement by itself.
    """

    def __init__(self, connection: object) -> None:
        if not isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
            raise InvalidArgument("connection", connection, "must be a psycopg.Connection or psycopg.AsyncConnection")
        if connection.autocommit and connection.info.transaction_status == pq.TransactionStatus.IDLE:
            raise InvalidArgument(
                "connection",
                connection,
                "is in autocommit mode: open a transaction, as by `with connection.transaction():`",
            )
        self._connection = connection

    @property
    def connection(self) -> object:
        """Return the connection."""
        return self._connection

    @property
    def is_async(self) -> bool:
        """Tell whether it has to be awaited."""
        return isinstance(self._connection, psycopg.AsyncConnection)

    def run(self, call: Call) -> list[Row]:
        """Run a call and return its rows. Raises `SchemaMismatch`, and what the driver raises."""
        connection = cast("psycopg.Connection[Any]", self._connection)
        # A cursor of our own kind, whatever the connection makes, and unprepared, because a pooler may be near.
        with self._judged(), psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            return cursor.execute(call.statement.sql.encode(), call.params, prepare=False).fetchall()

    async def arun(self, call: Call) -> list[Row]:
        """Run a call and return its rows, as the blocking twin does."""
        connection = cast("psycopg.AsyncConnection[Any]", self._connection)
        with self._judged():
            async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
                await cursor.execute(call.statement.sql.encode(), call.params, prepare=False)
                return await cursor.fetchall()

    @contextmanager
    def _judged(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            judged = fault(f"the caller's database {self._connection.info.dbname!r}", error.sqlstate, str(error))
            if isinstance(judged, SchemaMismatch):
                raise judged from error
            raise
