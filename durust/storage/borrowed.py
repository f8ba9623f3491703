"""A start on a connection that is the caller's, inside the transaction that is his to end."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from durust.errors import InvalidArgument, SchemaMismatch
from durust.model.validity import refusal
from durust.model.writes import INTERNAL_QUEUE, Outcome, Recorded, Refused, StartWorkflow
from durust.storage import announcements, sqlite_batch
from durust.storage.batch import SQL, start_alone
from durust.storage.links import Call, Row
from durust.storage.provider import Hint

if TYPE_CHECKING:
    from durust.storage.postgres import BorrowedPostgres

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
    try:
        if _library(connection) == "sqlite3":
            from durust.storage.sqlite import BorrowedSqlite

            return sqlite_batch.start(BorrowedSqlite(connection), write)
        borrowed = _postgres(connection)
        if borrowed.is_async:
            raise InvalidArgument("connection", connection, "is async: await client.aio.enqueue_in_transaction(...)")
        dialogue = _dialogue(write, wake=wake)
        try:
            call = next(dialogue)
            while True:
                call = dialogue.send(borrowed.run(call))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
    except SchemaMismatch as error:
        raise _unmigrated(error) from error.__cause__


async def astart(connection: object, write: StartWorkflow, *, wake: bool) -> Outcome:
    """Start a workflow on a connection that is awaited; one that blocks does so here too."""
    if _library(connection) == "sqlite3" or not (borrowed := _postgres(connection)).is_async:
        return start(connection, write, wake=wake)
    if reason := refusal(write):
        return Refused(reason)
    dialogue = _dialogue(write, wake=wake)
    try:
        call = next(dialogue)
        while True:
            call = dialogue.send(await borrowed.arun(call))
    except SchemaMismatch as error:
        raise _unmigrated(error) from error.__cause__
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _dialogue(write: StartWorkflow, *, wake: bool) -> Generator[Call, list[Row], Outcome]:
    outcome = yield from start_alone(write)
    if wake and isinstance(outcome, Recorded) and not write.delay_seconds:
        for payload in announcements.payloads([Hint("queue", write.queue or INTERNAL_QUEUE)]):
            yield Call(SQL.announce_with_commit, {"payload": payload})
    return outcome


def _postgres(connection: object) -> BorrowedPostgres:
    # Only the driver that made the connection is imported: it is there already.
    if _library(connection) != "psycopg":
        raise InvalidArgument("connection", connection, _WANTED)
    from durust.storage.postgres import BorrowedPostgres

    return BorrowedPostgres(connection)


def _library(connection: object) -> str | None:
    found = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    return next((name for name in ("sqlite3", "psycopg") if name in found), None)


def _unmigrated(error: SchemaMismatch) -> SchemaMismatch:
    wanted = "the client's database, which durust has migrated (`durust db migrate`)"
    return SchemaMismatch(error.database, error.found, wanted)
