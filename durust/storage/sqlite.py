"""The provider that keeps the state in a SQLite file."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from durust import clock
from durust.errors import DurustError, InvalidArgument, SchemaMismatch
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import (
    Checkpoint,
    Claims,
    ExecutorRow,
    MessageRow,
    Purged,
    QueueRow,
    StoredSchedules,
    Swept,
    VersionRow,
    WorkflowRow,
)
from durust.model.standing import Standing, StandingRequest
from durust.model.validity import refusal
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.model.writes import Outcome, Refused, Write
from durust.storage import (
    copy_columns,
    counting,
    rows,
    sqlite_batch,
    sqlite_claims,
    sqlite_files,
    sqlite_filters,
    sqlite_purges,
    sqlite_reading,
    sqlite_schema,
)
from durust.storage.halves import by_halves, is_too_large
from durust.storage.links import BadData, Call, Lost, Row, Transient
from durust.storage.pool import Pool, persist
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.sqlite_batch import SQL, Params, Transaction
from durust.storage.sqlite_links import SqliteLink, fault_of, needs_care
from durust.storage.sqlite_transactions import SqliteSession, SqliteTransaction
from durust.storage.statements import Statement
from durust.storage.transactions import TURN_SECONDS, OpenTransaction

T = TypeVar("T")

# What the library itself would let the log grow to: a thousand pages of 4 KiB.
CHECKPOINT_BYTES = 4_000_000
# As often as a waiting listener looks whether somebody has committed: cheap, and short beside a step.
POLL_SECONDS = 0.01


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


# ---------------------------------------------------------------------------------------------------------------------


class SqliteProvider:
    """Keeps the state in the SQLite file at *path*, for the processes of one host.

    *synchronous* is FULL, with which a commit outlives a loss of power, or NORMAL, with which the last ones may not.
    Nothing is opened before it is needed. Raises `ProviderMisuse` for a path that no file can have.
    """

    def __init__(self, path: str | Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        self._path = sqlite_files.locate(path)
        self._synchronous = synchronous
        self._pool = Pool(self.name, self._connect)
        # One, because the file has one writer.
        self._sessions = Pool(self.name, self._open_session, 1)
        # Where the next look at a queue's partitions begins; two threads of this process may both look there.
        self._after: dict[str, str] = {}

    @property
    def name(self) -> str:
        return f"sqlite:///{self._path}"

    @property
    def location(self) -> str:
        return self.name

    @property
    def is_shared(self) -> bool:
        return True

    def _open(self, mode: Literal["rw", "rwc"] = "rw") -> SqliteLink:
        sqlite_files.demand_folder(self.name, self._path)
        return SqliteLink(self.name, self._path, self._synchronous, mode)

    def _connect(self) -> SqliteLink:
        link = self._open()
        try:
            link.use_log()
        except BaseException:
            link.close()
            raise
        return link

    def _read(self, statement: Statement, params: Params) -> list[Row]:
        def once() -> list[Row]:
            with self._pool.lend() as link:
                return link.run([Call(statement, params)])[0]

        return self._persist(once)

    def _write(self, work: Callable[[Transaction], T]) -> T:
        def once() -> T:
            with self._pool.lend() as link, link.transaction() as transaction:
                return work(transaction)

        return self._persist(once)

    def _persist(self, once: Callable[[], T]) -> T:
        try:
            return persist(self.name, once)
        except BadData as error:
            raise InvalidArgument("query", self.name, f"cannot be asked: {error}") from None

    def migrate(self) -> None:
        persist(self.name, self._migrate)

    def _migrate(self) -> None:
        with closing(self._open("rwc")) as link:
            # Before anything is changed, because the log alone would change a file that is not for durust.
            sqlite_schema.judge(self.name, link, *_wanted())
            link.use_log()
            with link.transaction() as transaction:
                sqlite_schema.bring_up(self.name, transaction, *_wanted())

    def check(self) -> None:
        def once() -> None:
            with closing(self._open()) as link:
                sqlite_schema.demand(self.name, link, *_wanted())

        persist(self.name, once)

    def writer(self) -> Writer:
        return _SqliteWriter(self.name, self._connect)

    def claim(self, request: ClaimRequest) -> Claims:
        if not self._read(SQL.find_claimable, sqlite_claims.claim_params(request)):
            return Claims()
        claims = self._write(lambda transaction: sqlite_claims.Claim(transaction, request, self._after).take())
        # Read after the claim's commit: only now can no earlier owner add to it.
        steps = self.history([claim.lease.workflow_id for claim in claims])
        return rows.with_histories(claims, steps)

    def sweep(self, request: SweepRequest) -> Swept:
        swept = self._write(lambda transaction: sqlite_claims.sweep(transaction, request))
        if needs_care(sqlite3.sqlite_version_info):
            self._copy_log()
        return swept

    def _copy_log(self) -> None:
        """Copy the log into the database where the library must not do it by itself."""
        if sqlite_files.size(Path(f"{self._path}-wal")) < CHECKPOINT_BYTES:
            return
        with Path(f"{self._path}-checkpoint").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # With the write lock held nobody can commit, so nobody can reset the log beside the copying.
                with closing(self._connect()) as copier, closing(self._connect()) as guard, guard.transaction():
                    copier.run([Call(SQL.checkpoint, {})])
            except (BlockingIOError, Transient):
                # Somebody else copies it, or holds the write lock for long: the next sweep comes soon.
                return

    def purge(self, request: PurgeRequest) -> Purged:
        found = self._read(SQL.find_purgeable, sqlite_purges.params(request)) if request.is_bounded else []
        if request.is_dry:
            return Purged(len(found), more=len(found) == request.limit)
        return self._write(lambda transaction: sqlite_purges.purge(transaction, request, found))

    def history(self, workflow_ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        if not workflow_ids:
            return {}
        return rows.histories(workflow_ids, self._read(SQL.read_history, sqlite_filters.ids(workflow_ids)))

    def events(self, workflow_id: str) -> dict[str, StoredValue]:
        return rows.events(self._read(SQL.list_events, {"id": workflow_id}))

    def streams(self, workflow_id: str) -> dict[str, tuple[StreamEntry, ...]]:
        return rows.streams(self._read(SQL.list_streams, {"id": workflow_id}))

    def messages(self, workflow_id: str) -> list[MessageRow]:
        return [rows.message(row) for row in self._read(SQL.list_messages, {"id": workflow_id})]

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        return copy_columns.copies(
            workflow_id, self._read(SQL.copy_workflows, {"id": workflow_id, "children": children})
        )

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        params = sqlite_filters.workflows(query)
        if not params["of_time"]:
            statement = SQL.list_workflows
        else:
            statement = SQL.walk_newest if query.newest_first else SQL.walk_workflows
        return [rows.workflow(row) for row in self._read(statement, params)]

    def counts(self, query: CountQuery) -> list[WorkflowCount]:
        found = self._read(SQL.count_workflows, sqlite_filters.counts(query))
        return [counting.workflow_count(row) for row in found]

    def step_counts(self, query: StepQuery) -> list[StepCount]:
        return [counting.step_count(row) for row in self._read(SQL.count_steps, sqlite_filters.step_counts(query))]

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        return sqlite_reading.values(self._read, awaited)

    def executors(self, query: ExecutorQuery) -> list[ExecutorRow]:
        return [rows.executor(row) for row in self._read(SQL.list_executors, sqlite_filters.executors(query))]

    def open_grants(self, executor_id: str) -> list[str]:
        return [row[0] for row in self._read(SQL.list_open_grants, {"executor": executor_id})]

    def queues(self) -> list[QueueRow]:
        return [rows.queue(row) for row in self._read(SQL.list_queues, {})]

    def standing(self, request: StandingRequest) -> Standing | None:
        params = sqlite_filters.standing(request)
        asked = (SQL.read_standing, SQL.count_running, SQL.list_waits)
        return rows.standing(*(self._read(statement, params) for statement in asked))

    def schedules(self) -> StoredSchedules:
        return rows.schedules(self._read(SQL.list_schedules, {}))

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        return rows.versions(self._read(SQL.list_versions, {"app": app_name, "limit": limit}))

    def announce(self, hints: Sequence[Hint]) -> None:
        """Do nothing: every listener on the file sees the commit itself."""

    def listen(self) -> Listener:
        return _SqliteListener(self._connect)

    @contextmanager
    def transaction(self, isolation: str) -> Iterator[OpenTransaction]:
        with self._sessions.lend(TURN_SECONDS) as session, session.begin():
            yield SqliteTransaction(session)

    def _open_session(self) -> SqliteSession:
        sqlite_files.demand_folder(self.name, self._path)
        return SqliteSession(self.name, self._path, self._synchronous)

    def close(self) -> None:
        self._pool.close()
        self._sessions.close()


@cache
def _wanted() -> tuple[sqlite_schema.Catalog, sqlite_schema.Catalog]:
    """Return the canonical tables and durust's own, as a database that has just been made holds them."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(sqlite_schema.canonical_text())
        canonical = sqlite_schema.catalog(empty.execute(SQL.find_columns.sql))
        for text in sqlite_schema.own_texts():
            empty.executescript(text)
        both = sqlite_schema.catalog(empty.execute(SQL.find_columns.sql))
    return canonical, {table: columns for table, columns in both.items() if table not in canonical}


class _SqliteWriter:
    def __init__(self, name: str, connect: Callable[[], SqliteLink]) -> None:
        self._name, self._connect = name, connect
        self._link: SqliteLink | None = None

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        reasons = [refusal(write) for write in writes]
        outcomes = iter(self._commit([write for write, reason in zip(writes, reasons, strict=True) if not reason]))
        return [Refused(reason) if reason else next(outcomes) for reason in reasons]

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if not writes:
            return []
        if is_too_large(writes):
            return by_halves(self._commit, writes)
        try:
            return persist(self._name, lambda: self._once(writes))
        except BadData as error:
            if len(writes) == 1:
                return [Refused(str(error))]
        # By halves, until the one that cannot be held stands alone.
        return by_halves(self._commit, writes)

    def _once(self, writes: Sequence[Write]) -> list[Outcome]:
        if self._link is None:
            self._link = self._connect()
        try:
            with self._link.transaction() as transaction:
                return sqlite_batch.commit(transaction, writes)
        except Lost:
            self.close()
            raise

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _SqliteListener:
    """Looks whether somebody has committed; what, it cannot tell."""

    def __init__(self, connect: Callable[[], SqliteLink]) -> None:
        self._connect = connect
        self._link: SqliteLink | None = None
        self._seen: object = None
        self._woken = threading.Event()
        self._look()

    def wait(self, timeout_seconds: float) -> list[Hint]:
        deadline = clock.monotonic() + timeout_seconds
        while not self._look():
            left = deadline - clock.monotonic()
            if left <= 0 or self._woken.wait(min(left, POLL_SECONDS)):
                self._woken.clear()
                return []
        return [Hint("any")]

    def _look(self) -> bool:
        """Tell whether somebody has committed since the last look."""
        try:
            if self._link is None:
                self._link = self._connect()
            [[(version,)]] = self._link.run([Call(SQL.data_version, {})])
        except (Transient, DurustError):
            # Away: a poll stands behind every hint.
            self._drop()
            return False
        is_new = bool(version != self._seen)
        self._seen = version
        return is_new

    def _drop(self) -> None:
        # The number means nothing to another connection, which therefore begins with a hint.
        self._seen = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()
        self._drop()
