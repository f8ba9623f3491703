"""Starts and messages on a connection that is the caller's, inside the transaction that is his to end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from durust.errors import InvalidArgument, SchemaMismatch
from durust.model.message_writes import SendMessages
from durust.model.validity import refusal
from durust.model.writes import INTERNAL_QUEUE, Missing, Outcome, Recorded, Refused, StartWorkflow
from durust.storage import announcements, statements
from durust.storage.links import Call, Row
from durust.storage.postgres_writes import messages
from durust.storage.postgres_writes.starts import start_alone
from durust.storage.provider import Hint
from durust.storage.sqlite_writes import messages as sqlite_messages
from durust.storage.sqlite_writes import starts as sqlite_starts

if TYPE_CHECKING:
    from durust.storage.postgres_borrowed import BorrowedPostgres
    from durust.storage.sqlite_borrowed import BorrowedSqlite

SQL = statements.load("postgres")

Dialogue = Generator[Call, list[Row], Outcome]

_WANTED = (
    "must be a connection of psycopg 3 or sqlite3; SQLAlchemy lends it as "
    "`session.connection().connection.driver_connection`"
)


def start(connection: object, write: StartWorkflow, *, wake: bool) -> Outcome:
    """Start a workflow on a connection that blocks.

    Raises `InvalidArgument` for a connection that cannot be used so, `SchemaMismatch`, and what its driver raises.
    """
    if reason := refusal(write):
        return Refused(reason)
    if _library(connection) == "sqlite3":
        return _on_sqlite(connection, lambda lent: sqlite_starts.start(lent, write))
    return _carry(_postgres(connection), _starting(write, wake=wake), "enqueue_in_transaction")


async def astart(connection: object, write: StartWorkflow, *, wake: bool) -> Outcome:
    """Start a workflow on a connection that is awaited; one that blocks does so here too."""
    if not _is_async(connection):
        return start(connection, write, wake=wake)
    if reason := refusal(write):
        return Refused(reason)
    return await _acarry(_postgres(connection), _starting(write, wake=wake))


def send(connection: object, write: SendMessages) -> Outcome:
    """Send messages on a connection that blocks. Raises like `start`."""
    if reason := refusal(write):
        return Refused(reason)
    if _library(connection) == "sqlite3":
        return _on_sqlite(connection, lambda lent: sqlite_messages.send(lent, write))
    return _carry(_postgres(connection), _sending(write), "send_in_transaction")


async def asend(connection: object, write: SendMessages) -> Outcome:
    """Send messages on a connection that is awaited; one that blocks does so here too."""
    if not _is_async(connection):
        return send(connection, write)
    if reason := refusal(write):
        return Refused(reason)
    return await _acarry(_postgres(connection), _sending(write))


def _starting(write: StartWorkflow, *, wake: bool) -> Dialogue:
    outcome = yield from start_alone(write)
    if wake and isinstance(outcome, Recorded) and not write.delay_seconds:
        for payload in announcements.payloads([Hint("queue", write.queue or INTERNAL_QUEUE)]):
            yield Call(SQL.announce_with_commit, {"payload": payload})
    return outcome


def _sending(write: SendMessages) -> Dialogue:
    # The canonical trigger tells of them with the caller's commit.
    lost = yield Call(SQL.lend_messages, messages.send_messages([write]))
    return Missing(lost[0][1]) if lost else Recorded()


def _carry(borrowed: BorrowedPostgres, dialogue: Dialogue, asked: str) -> Outcome:
    if borrowed.is_async:
        raise InvalidArgument("connection", borrowed.connection, f"is async: await client.aio.{asked}(...)")
    try:
        call = next(dialogue)
        while True:
            call = dialogue.send(borrowed.run(call))
    except SchemaMismatch as error:
        raise _unmigrated(error) from error.__cause__
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


async def _acarry(borrowed: BorrowedPostgres, dialogue: Dialogue) -> Outcome:
    try:
        call = next(dialogue)
        while True:
            call = dialogue.send(await borrowed.arun(call))
    except SchemaMismatch as error:
        raise _unmigrated(error) from error.__cause__
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _on_sqlite(connection: object, work: Callable[[BorrowedSqlite], Outcome]) -> Outcome:
    from durust.storage.sqlite_borrowed import BorrowedSqlite

    try:
        return work(BorrowedSqlite(connection))
    except SchemaMismatch as error:
        raise _unmigrated(error) from error.__cause__


def _is_async(connection: object) -> bool:
    return _library(connection) != "sqlite3" and _postgres(connection).is_async


def _postgres(connection: object) -> BorrowedPostgres:
    # Only the driver that made the connection is imported: it is there already.
    if _library(connection) != "psycopg":
        raise InvalidArgument("connection", connection, _WANTED)
    from durust.storage.postgres_borrowed import BorrowedPostgres

    return BorrowedPostgres(connection)


def _library(connection: object) -> str | None:
    found = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    return next((name for name in ("sqlite3", "psycopg") if name in found), None)


def _unmigrated(error: SchemaMismatch) -> SchemaMismatch:
    wanted = "the client's database, which durust has migrated (`durust db migrate`)"
    return SchemaMismatch(error.database, error.found, wanted)
