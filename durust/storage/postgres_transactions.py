"""The connections to Postgres that the functions of transactions get."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

import psycopg
from psycopg import pq, sql
from psycopg.rows import tuple_row

from durust import clock
from durust.failpoints import failpoint
from durust.model.isolation import READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE
from durust.model.records import Lease
from durust.model.validity import refusal
from durust.model.writes import Diverged, Recorded, RecordStep, Refused
from durust.storage import columns, rows, statements
from durust.storage.links import BadData, Call, Lost, Param, Row, Transient, fault
from durust.storage.pool import abandon
from durust.storage.postgres_writes import guards, steps
from durust.storage.transactions import Answer, Failed, causes, misused

SQL = statements.load("postgres")

_LEVELS = {
    READ_COMMITTED: psycopg.IsolationLevel.READ_COMMITTED,
    REPEATABLE_READ: psycopg.IsolationLevel.REPEATABLE_READ,
    SERIALIZABLE: psycopg.IsolationLevel.SERIALIZABLE,
}
# What a function's own error means: the connection is gone, or two transactions met and this one is to go again. Its
# other errors are its own, such as that of a lock for which it said that it does not wait.
_LOST, _CONFLICT = ("08", "57P", "25P03"), "40"
# What a function has set for its session by `set`, which outlives its transaction.
_RESET = b"reset session authorization; reset all"
# What may stand before the first word of a statement, and the words that end a transaction.
_ENDS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE | re.DOTALL,
)


class LentCursor(psycopg.Cursor[Row]):
    """A cursor of a connection that is lent out."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        demand_inside(self.connection, query)
        return super().execute(query, params, **options)


def demand_inside(connection: psycopg.Connection[Any], query: object) -> None:
    """Raise `ProviderMisuse` for a statement by which a function would end the transaction that it runs in."""
    if isinstance(query, sql.Composable):
        query = query.as_string(connection)
    text = query.decode(errors="replace") if isinstance(query, bytes) else query
    if isinstance(connection, LentPostgres) and isinstance(text, str) and _ENDS.match(text):
        connection.demand_own(f"ran {text.strip()!r}")


class LentPostgres(psycopg.Connection[Row]):
    """A connection that a user's function has for the time of a transaction, which only durust ends."""

    lent_by: str | None = None

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


class PostgresSession:
    """A connection of a small pool for transactions. It belongs to one thread at a time."""

    def __init__(self, name: str, parameters: Mapping[str, Any], *, is_pooled: bool) -> None:
        self.name, self._pid = name, os.getpid()
        # With a pooler there is nobody who would keep what is prepared.
        options: dict[str, Any] = {"prepare_threshold": None} if is_pooled else {}
        try:
            self.connection = LentPostgres.connect(cursor_factory=LentCursor, **options, **parameters)
        except psycopg.Error as error:
            raise Lost(str(error)) from None

    @property
    def is_open(self) -> bool:
        return self._pid == os.getpid() and not self.connection.closed

    def close(self) -> None:
        if self._pid == os.getpid():
            self.connection.lent_by = None
            self.connection.close()
        else:
            abandon(self)

    @contextmanager
    def begin(self, isolation: str) -> Iterator[str]:
        """Hold a transaction open and return its mark, which it loses when it ends; roll back what is open still."""
        connection = self.connection
        mark = clock.random_token()
        try:
            with self.judged():
                connection.isolation_level = _LEVELS[isolation]
                self.run(Call(SQL.mark_transaction, {"mark": mark}))
            connection.lent_by = self.name
            yield mark
        finally:
            self._take_back()

    def _take_back(self) -> None:
        connection = self.connection
        connection.lent_by = None
        # Whatever the function has set for itself is not for the next one.
        connection.row_factory, connection.cursor_factory = tuple_row, LentCursor
        if connection.info.transaction_status != pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.rollback()
        if connection.info.transaction_status != pq.TransactionStatus.IDLE:
            # Interrupted in the middle, or lost: closing rolls back too.
            connection.close()
        elif connection.pgconn.exec_(_RESET).status != pq.ExecStatus.COMMAND_OK:
            # Nobody knows what the next one would find set.
            connection.close()

    def run(self, call: Call) -> list[Row]:
        """Run a statement of durust's in the open transaction and return its rows."""
        # A cursor of our own kind, whatever the function has set for its own, and unprepared, because a pooler may
        # be near.
        failpoint(call.statement.before)
        with psycopg.Cursor(self.connection, row_factory=tuple_row) as cursor:
            cursor.execute(call.statement.sql.encode(), call.params, prepare=False)
            found = cursor.fetchall() if cursor.description else []
        if not call.statement.writes:
            # That of one that writes stands behind the commit.
            failpoint(call.statement.after)
        return found

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Turn the driver's errors into what they mean."""
        try:
            yield
        except psycopg.Error as error:
            if self.connection.closed:
                raise Lost(str(error)) from error
            raise fault(self.name, error.sqlstate, str(error)) from error

    def judge(self, error: BaseException) -> BaseException:
        """Return what an error of the function means."""
        for cause in causes(error):
            state = (isinstance(cause, psycopg.Error) and cause.sqlstate) or ""
            if self.connection.closed or state.startswith(_LOST):
                return Lost(str(error))
            if state.startswith(_CONFLICT):
                return Transient(str(error))
        return error

    def demand_open(self, mark: str, guard: Mapping[str, Param]) -> None:
        """Raise `ProviderMisuse` unless the transaction of that mark is open and whole; prepare it for its end."""
        status = self.connection.info.transaction_status
        if status == pq.TransactionStatus.UNKNOWN:
            raise Lost("the connection was lost")
        if status == pq.TransactionStatus.INERROR:
            raise misused(self.name, "went on after an error of the database, which had undone what it wrote")
        if status != pq.TransactionStatus.INTRANS:
            raise misused(self.name, "left its transaction, or a statement in the middle")
        with self.judged():
            [(found, *_)] = self.run(Call(SQL.prepare_end, guard))
        if found != mark:
            raise misused(self.name, "ended its transaction and began another")

    def commit(self, after: str) -> Failed | None:
        """Commit and pass the failpoint *after*; return why the function's own statements make that impossible."""
        self.connection.lent_by = None
        failpoint("transaction.commit")
        try:
            with self.judged():
                self.connection.commit()
        except BadData as error:
            # A constraint that is checked at the end, for example.
            return Failed(error.__cause__ or error)
        failpoint(after)
        return None


class PostgresTransaction:
    """A transaction in the database that holds the state too: the record is the last that is written in it."""

    def __init__(self, session: PostgresSession, mark: str, guard: Mapping[str, Param]) -> None:
        self._session, self._mark, self._guard = session, mark, guard

    @property
    def connection(self) -> Any:
        return self._session.connection

    def standing(self, lease: Lease, place: int, *, after_loss: bool) -> Answer | None:
        if not after_loss:
            return None
        with self._session.judged():
            found = self._session.run(Call(SQL.read_history, {"ids": columns.texts([lease.workflow_id])}))
        standing = rows.own_record(found, lease, place)
        return None if standing is None else Diverged(standing)

    def judge(self, error: BaseException) -> BaseException:
        return self._session.judge(error)

    def demand_open(self) -> None:
        self._session.demand_open(self._mark, self._guard)

    def record(self, write: RecordStep) -> Answer:
        session = self._session
        session.connection.lent_by = None
        if reason := refusal(write):
            return Refused(reason)
        try:
            with session.judged():
                is_written = bool(session.run(Call(SQL.record_steps, steps.record_steps([write]))))
        except BadData as error:
            return Refused(str(error))
        if not is_written:
            return self._explain(write)
        return session.commit(SQL.record_steps.after) or Recorded()

    def _explain(self, write: RecordStep) -> Answer:
        """Undo what the function wrote and return why its record does not count."""
        with self._session.judged():
            self._session.connection.rollback()
            [row] = self._session.run(Call(SQL.classify_runs, guards.classify_runs([write])))
        outcome = guards.explain(write, row)
        if outcome is None:
            # What stood in its way is gone.
            raise Transient("the record was neither written nor refused")
        return outcome
