"""The statements of SQLite, and what runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from durust.model.writes import Outcome
from durust.storage import statements
from durust.storage.links import Param, Row
from durust.storage.statements import Statement

SQL = statements.load("sqlite")

# What durust's own records are written in: the canonical name of plain JSON.
PORTABLE = "portable_json"

Params = Mapping[str, Param]


class Statements(Protocol):
    """What runs one statement at a time in a transaction, each of which also knows the moment of the transaction."""

    now_ms: int

    def rows(self, statement: Statement, params: Params) -> list[Row]:
        """Run a statement and return its rows."""

    def change(self, statement: Statement, params: Params) -> int:
        """Run a statement and return how many rows it changed."""


class Transaction(Statements, Protocol):
    """An open write transaction of durust's own."""

    def change_many(self, statement: Statement, sql: str, values: Sequence[Row]) -> int:
        """Run *sql*, the statement with nameless parameters, for each of *values*; return how many rows it changed."""

    def script(self, sql: str) -> None:
        """Run a text of several statements."""


Kinds = Mapping[type, Callable[[Transaction, Any], Outcome]]
"""What each kind of write does in a transaction, and answers."""
