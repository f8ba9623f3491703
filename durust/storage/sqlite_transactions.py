"""The connections to SQLite that the functions of transactions get."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from durust.failpoints import failpoint
from durust.model.records import Lease
from durust.model.validity import refusal
from durust.model.writes import Diverged, Recorded, RecordStep, Refused
from durust.storage import lent, rows
from durust.storage.links import BadData, Lost, Transient
from durust.storage.sqlite_filters import ids
from durust.storage.sqlite_links import PRIMARY, SqliteLink, text_of
from durust.storage.sqlite_statements import SQL
from durust.storage.sqlite_writes.steps import record_alone
from durust.storage.transactions import Answer, causes, misused

# What a function's own error means: somebody holds the file, or the file is away. Its other errors are its own.
_CONFLICT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LOST = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})


class LentSqlite(sqlite3.Connection):
    """A connection that a user's function has for the time of a transaction, which only durust ends."""

    lent_by: str | None = None
    _depth = 0

    def demand_own(self, asked: str) -> None:
        """Raise `ProviderMisuse` while the connection is lent out."""
        if self.lent_by is not None:
            raise misused(self.lent_by, asked)

    def commit(self) -> None:
        self.demand_own("called commit()")
        super().commit()

    def rollback(self) -> None:
        self.demand_own("called rollback()")
        super().rollback()

    def close(self) -> None:
        self.demand_own("called close()")
        super().close()

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Run a text of several statements inside the transaction, which the library's own would commit first."""
        cursor = self.cursor()
        for statement in statements_of(sql_script):
            cursor.execute(statement)
        return cursor

    def __enter__(self) -> Self:
        """Begin a part that is undone by itself when it raises; the library's own would commit at its end."""
        self._depth += 1
        self.execute(f"savepoint durust_{self._depth}")
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> Literal[False]:
        name = f"durust_{self._depth}"
        self._depth -= 1
        # An error of the database may have undone everything already.
        if self.in_transaction:
            if kind is not None:
                self.execute(f"rollback to {name}")
            self.execute(f"release {name}")
        return False


def statements_of(script: str) -> Iterator[str]:
    """Return the statements of a text, one by one."""
    text = ""
    for part in script.split(";"):
        text += part + ";"
        if sqlite3.complete_statement(text):
            if text.strip("; \t\r\n"):
                yield text
            text = ""
    if text.strip("; \t\r\n"):
        yield text.removesuffix(";")


class SqliteSession(SqliteLink):
    """A connection for transactions. It belongs to one thread at a time."""

    def __init__(
        self, name: str, path: Path, synchronous: str, mode: Literal["rw", "rwc"] = "rw", *, is_own: bool = True
    ) -> None:
        self._is_own = is_own
        super().__init__(name, path, synchronous, mode, factory=LentSqlite)
        self.has_refused = False

    def _configure(self, synchronous: str) -> None:
        # The file of another application is opened as that does it.
        if self._is_own:
            super()._configure(synchronous)

    @property
    def connection(self) -> LentSqlite:
        """Return the connection."""
        return self._connection  # type: ignore[return-value]  # made by the factory

    def close(self) -> None:
        # Also in the middle of a function, when the file is away.
        if self.is_open:
            self.connection.lent_by = None
        super().close()

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Hold the one write lock, and roll back in the end what is open still."""
        self.begin_write()
        self.has_refused = False
        connection = self.connection
        connection.text_factory = str
        # With this level the library begins a transaction of its own where the function's has ended, which is refused:
        # nothing of the function's commits by itself.
        connection.isolation_level = "DEFERRED"
        connection.set_authorizer(self._authorize)
        connection.lent_by = self._name
        try:
            with lent.lend(self._name):
                yield
        finally:
            if self.is_open:
                self.take_back()
                if connection.in_transaction:
                    connection.rollback()
                # Whatever the function has set for itself is not for the next one.
                connection.isolation_level = connection.row_factory = None

    def take_back(self) -> None:
        """Let durust's own statements through again."""
        connection = self.connection
        connection.lent_by = None
        connection.set_authorizer(None)
        connection.text_factory = text_of

    def _authorize(self, action: int, *_: object) -> int:
        if action != sqlite3.SQLITE_TRANSACTION:
            return sqlite3.SQLITE_OK
        self.has_refused = True
        return sqlite3.SQLITE_DENY

    def judge(self, error: BaseException) -> BaseException:
        """Return what an error of the function means."""
        for cause in causes(error):
            code = getattr(cause, "sqlite_errorcode", None)
            primary = None if code is None else code & PRIMARY
            if primary == sqlite3.SQLITE_AUTH and self.has_refused:
                return misused(self._name, "began or ended a transaction of its own")
            if primary in _LOST:
                self.close()
                return Lost(str(error))
            if primary in _CONFLICT:
                return Transient(str(error))
        return error

    def demand_open(self) -> None:
        """Raise `ProviderMisuse` unless the transaction is open still."""
        if not self.connection.in_transaction:
            raise misused(self._name, "went on after its transaction had been undone")

    def end(self, write: Callable[[], Answer | None]) -> Answer | None:
        """Do durust's own *write*, last of all, and commit; undo everything when it answers that it does not count."""
        self.take_back()
        answer = write()
        if answer is not None:
            self.connection.rollback()
            return answer
        failpoint("transaction.commit")
        self.commit_write()
        return None


class SqliteTransaction:
    """A transaction in the file that holds the state too: the record is the last that is written in it."""

    def __init__(self, session: SqliteSession) -> None:
        self._session = session

    @property
    def connection(self) -> Any:
        return self._session.connection

    def standing(self, lease: Lease, place: int, *, after_loss: bool) -> Answer | None:
        if not after_loss:
            return None
        found = self._session.rows(SQL.read_history, ids([lease.workflow_id]))
        standing = rows.own_record(found, lease, place)
        return None if standing is None else Diverged(standing)

    def judge(self, error: BaseException) -> BaseException:
        return self._session.judge(error)

    def demand_open(self) -> None:
        self._session.demand_open()

    def record(self, write: RecordStep) -> Answer:
        if reason := refusal(write):
            return Refused(reason)
        session = self._session
        try:
            return session.end(lambda: record_alone(session, write)) or Recorded()
        except BadData as error:
            return Refused(str(error))
