"""A connection to SQLite that is the caller's, in a transaction that is his to end."""

from __future__ import annotations

import sqlite3

from durust import clock
from durust.errors import InvalidArgument, SchemaMismatch
from durust.storage.links import Row
from durust.storage.sqlite_links import fault_of
from durust.storage.sqlite_statements import Params
from durust.storage.statements import Statement


class BorrowedSqlite:
    """A connection of the caller's: what runs on it is part of his transaction, and its faults are the driver's own.

    Raises `InvalidArgument` for a connection of another kind, or one that would commit each statement by itself.
    """

    def __init__(self, connection: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise InvalidArgument("connection", connection, "must be a sqlite3.Connection")
        # Python 3.12 brought the attribute; before it, and where that is not set, the level of isolation says it.
        autocommit = getattr(connection, "autocommit", None)
        commits_each = autocommit is True or (autocommit is not False and connection.isolation_level is None)
        if commits_each and not connection.in_transaction:
            raise InvalidArgument(
                "connection",
                connection,
                'is in autocommit mode: open a transaction, as by `execute("begin immediate")`',
            )
        self._connection = connection
        self.now_ms = clock.now_ms()

    def rows(self, statement: Statement, params: Params) -> list[Row]:
        return self._execute(statement, params).fetchall()

    def change(self, statement: Statement, params: Params) -> int:
        return self._execute(statement, params).rowcount

    def _execute(self, statement: Statement, params: Params) -> sqlite3.Cursor:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        try:
            return cursor.execute(statement.sql, {"now": self.now_ms, **params})
        except sqlite3.Error as error:
            judged = fault_of("the caller's database", error)
            if isinstance(judged, SchemaMismatch):
                raise judged from error
            raise
