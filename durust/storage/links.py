"""One connection to Postgres as the rest of the provider sees it, and what can go wrong on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from durust.errors import DurustError, ProviderMisuse, SchemaMismatch
from durust.storage.statements import Statement

Param = str | int | float | bool | None
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A statement with its parameters; arrays are written out already."""

    statement: Statement
    params: Mapping[str, Param] = field(default_factory=dict)
    is_hot: bool = False
    """Whether a connection prepares it and keeps its plan. Others are planned for the tables as they are by then."""


class Link(Protocol):
    """A connection. It belongs to one thread at a time, and to the process that opened it."""

    @property
    def is_open(self) -> bool:
        """Tell whether the connection still stands and belongs to this process."""

    def run(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run *calls* in one transaction and return the rows of each.

        Raises `Transient`, `Lost`, `BadData` or a `DurustError`; then nothing was committed, except that after `Lost`
        nobody knows.
        """

    def script(self, sql: str) -> None:
        """Run a text of several statements. Raises like `run`."""

    def close(self) -> None:
        """Close the connection. Idempotent."""


class Transient(Exception):
    """The transaction was rolled back for a reason that passes: sending it again is right."""


class Deadlock(Transient):
    """Two transactions waited for each other, and this one was given up."""


class Lost(Transient):
    """The connection is gone, and nobody knows whether the transaction committed."""


class Taken(Transient):
    """Others use every connection that there may be, for longer than the caller waits at once."""


class BadData(Exception):
    """The database refuses the data of a statement: sending it again is answered the same."""


# By class (two characters) or whole, as the appendix of Postgres's manual lists them.
_TRANSIENT = (
    "40",  # Serialization failures and deadlocks.
    "53",  # Out of connections, memory or disk.
    "58",  # The server's own disk or system failed it.
    "55P03",  # A lock was not to be had within lock_timeout.
    "57014",  # Cancelled, by statement_timeout or by an operator.
)
_DEADLOCK = "40P01"
_LOST = (
    "08",  # The connection failed.
    "57P",  # The server shuts down, crashed, is starting up, or ended this session.
    "25P03",  # Idle in a transaction for too long: this process was stopped in it.
    "0A000",  # A table was changed behind a plan that this connection keeps.
    "25006",  # Read-only: what answers is a standby, so connect anew.
)
_BAD_DATA = (
    "22",  # Data exceptions: out of range, characters that the encoding lacks.
    "23",  # A constraint that no statement of ours provokes.
    "54",  # A limit of the program, such as the size of a value.
    "P0001",  # What a trigger of the owner's does not let in.
)
_UNMIGRATED = ("3F000", "42P01", "42703", "42883")
# What a migration would make is there, and no catalog of columns told of it: a view, a function, a table half ours.
_TAKEN = ("42P07", "42710", "42723")
_POOLED = ("26000", "42P05")


def fault(provider: str, sqlstate: str | None, message: str, *, is_fatal: bool = False) -> Exception:
    """Return the error that a failed statement means; without a state it was the connection that failed.

    What is fatal ends the connection, whatever its state says: a pooler that loses its server has states of its own.
    """
    if sqlstate is None or is_fatal or sqlstate.startswith(_LOST):
        return Lost(message)
    if sqlstate == _DEADLOCK:
        return Deadlock(message)
    if sqlstate.startswith(_TRANSIENT):
        return Transient(message)
    if sqlstate.startswith(_BAD_DATA):
        return BadData(message)
    if sqlstate in _UNMIGRATED:
        return SchemaMismatch(provider, message, "a database that durust has migrated")
    if sqlstate in _TAKEN:
        return SchemaMismatch(provider, message, "a database where nothing else has that name")
    if sqlstate in _POOLED:
        return ProviderMisuse(provider, message, "behind a pooler of transactions add ?pooler=transaction to the URL")
    return DurustError(f"{provider}: {message} ({sqlstate})")
