"""The provider that keeps the state in a SQLite file, and the only door to its library."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, cast

from durust import clock
from durust.errors import DurustError, InvalidArgument, ProviderMisuse, SchemaMismatch
from durust.failpoints import failpoint
from durust.model.attributes import contains
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
from durust.storage.links import BadData, Call, Lost, Param, Row, Transient
from durust.storage.pool import Pool, persist
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.sqlite_batch import SQL, Params, Transaction
from durust.storage.statements import Statement
from durust.telemetry import logger

T = TypeVar("T")

# The first with RETURNING.
VERSION_MIN = (3, 35, 0)
# Before it, a commit that resets the log beside a checkpoint may lose what was committed (the "WAL-reset bug").
VERSION_SAFE = (3, 51, 3)
# Writers wait for each other this long; a batch takes milliseconds, so behind this stands somebody who is stuck.
BUSY_SECONDS = 10.0
# Between two looks whether the other is done. The library's own patience sleeps up to 100 ms: beside three processes
# that write all the time, a fourth one then waited up to 8 s for its turn, as long as a lease.
BUSY_PAUSE_SECONDS = 0.001
# What the library itself would let the log grow to: a thousand pages of 4 KiB.
CHECKPOINT_BYTES = 4_000_000
# As often as a waiting listener looks whether somebody has committed: cheap, and short beside a step.
POLL_SECONDS = 0.01

# Extended codes carry the primary one in their low byte.
_PRIMARY = 0xFF
_TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA})
_BAD_DATA = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE})
_UNMIGRATED = ("no such table", "no such column", "has no column")

# The process that opened each file. The library keeps what it knows about locks per process, and a forked child
# inherits that knowledge without the locks.
_homes: dict[Path, int] = {}


def needs_care(version: tuple[int, ...]) -> bool:
    """Tell whether this version of the library has the WAL-reset bug."""
    return version < VERSION_SAFE


@cache
def _tell_of_version() -> None:
    # Cached, so that it is said once in a process. To logs alone: whoever looks at a terminal has nothing to do.
    logger.info(
        "SQLite %s has a bug that can lose commits while its log is copied (fixed in %s); durust avoids it by copying "
        "the log under a lock, which costs some throughput",
        sqlite3.sqlite_version,
        ".".join(map(str, VERSION_SAFE)),
    )


def _fault(name: str, error: Exception) -> Exception:
    """Return what an error of the library means for whoever asked."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY
    if primary in _TRANSIENT:
        return Transient(str(error))
    if primary in _BAD_DATA or isinstance(error, _BAD_VALUES):
        return BadData(str(error))
    if primary == sqlite3.SQLITE_NOTADB:
        return SchemaMismatch(name, "a file that is no SQLite database", "a SQLite database or a new file")
    if primary == sqlite3.SQLITE_ERROR:
        if any(word in str(error) for word in _UNMIGRATED):
            return SchemaMismatch(name, str(error), "a database that durust has migrated")
        return DurustError(f"{name}: {error}")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return Lost(f"{error}; its folder has to be there and to be writable")
    # The file, the disk or the connection.
    return Lost(str(error))


def _text(data: bytes) -> str:
    # Another library may write any bytes as a text. Who reads the value is to fail, not everybody who meets the row.
    return data.decode(errors="surrogateescape")


_BAD_VALUES = (sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
_boot_id = cache(clock.boot_id)


class SqliteLink:
    """A connection: outside a transaction each statement is one of its own."""

    def __init__(self, name: str, path: Path, synchronous: str, mode: Literal["rw", "rwc"] = "rw") -> None:
        self._name, self._pid, self._is_closed = name, os.getpid(), False
        self._afters: list[str] = []
        if sqlite3.sqlite_version_info < VERSION_MIN:
            found, wanted = sqlite3.sqlite_version, ".".join(map(str, VERSION_MIN))
            raise ProviderMisuse(name, f"the SQLite library is {found}", f"use a Python with SQLite {wanted} or newer")
        if _homes.setdefault(path, self._pid) != self._pid:
            raise ProviderMisuse(
                name,
                "this process was forked from one that had the file open",
                "start processes by spawn, or fork before the first use",
            )
        if mode == "rw" and not path.exists():
            raise SchemaMismatch(name, "no file", "a database that durust has migrated")
        try:
            self._connection = sqlite3.connect(
                f"{path.as_uri()}?mode={mode}",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise _fault(name, error) from None
        self._connection.text_factory = _text
        # SQLite has no `@>` of its own; this one says the same.
        self._connection.create_function("durust_contains", 2, contains, deterministic=True)
        self._set_moment()
        self._configure(synchronous)

    def _configure(self, synchronous: str) -> None:
        self._pragma(f"synchronous={synchronous}")
        self._pragma("foreign_keys=on")
        if needs_care(sqlite3.sqlite_version_info):
            _tell_of_version()
            self._pragma("wal_autocheckpoint=0")
            self._pragma("mmap_size=0")

    def use_log(self) -> None:
        """Make the file use a write-ahead log, so that readers and a writer do not wait for each other."""
        if self._pragma("journal_mode") != "wal" and self._pragma("journal_mode=wal") != "wal":
            raise ProviderMisuse(self._name, "its file system has no shared memory", "use a local folder, or Postgres")

    def _pragma(self, text: str) -> object:
        found = self._execute(self._connection.execute, f"pragma {text}", {}).fetchone()
        return found and found[0]

    @property
    def is_open(self) -> bool:
        return not self._is_closed and self._pid == os.getpid()

    def close(self) -> None:
        # What belongs to the process that forked this one is left to it.
        if self.is_open:
            self._connection.close()
        self._is_closed = True

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Hold the one write lock; commit at the end, or roll back what raised."""
        self._execute(self._connection.execute, SQL.begin_write.sql, {})
        self._afters = []
        # Read behind the lock, so that the order of commits is the order of their times.
        self._set_moment()
        try:
            yield self
            if self._connection.in_transaction:
                self._execute(self._connection.execute, SQL.commit_write.sql, {})
        except BaseException:
            if self.is_open and self._connection.in_transaction:
                self._connection.rollback()
            raise
        for name in self._afters:
            failpoint(name)

    def _set_moment(self) -> None:
        self.now_ms = clock.now_ms()
        self._moment: dict[str, Param] = {"now": self.now_ms, "boottime": clock.boottime(), "boot": _boot_id()}

    def rows(self, statement: Statement, params: Params) -> list[Row]:
        self._reach(statement)
        try:
            return self._execute(self._connection.execute, statement.sql, {**self._moment, **params}).fetchall()
        except sqlite3.Error as error:
            raise _fault(self._name, error) from None

    def change(self, statement: Statement, params: Params) -> int:
        self._reach(statement)
        return self._execute(self._connection.execute, statement.sql, {**self._moment, **params}).rowcount

    def change_many(self, statement: Statement, sql: str, values: Sequence[Row]) -> int:
        self._reach(statement)
        return self._execute(self._connection.executemany, sql, values).rowcount

    def script(self, sql: str) -> None:
        # The library's own would commit first.
        text = ""
        for line in sql.splitlines(keepends=True):
            text += line
            if sqlite3.complete_statement(text):
                self._execute(self._connection.execute, text, {})
                text = ""

    def _reach(self, statement: Statement) -> None:
        if statement.writes:
            failpoint(statement.before)
            if statement.after not in self._afters:
                self._afters.append(statement.after)

    def _execute(self, execute: Callable[..., sqlite3.Cursor], sql: str, values: object) -> sqlite3.Cursor:
        if self._pid != os.getpid():
            raise ProviderMisuse(
                self._name, "the connection belongs to the process that forked this one", "open one after the fork"
            )
        began = clock.monotonic()
        while True:
            try:
                return execute(sql, values)
            except (sqlite3.Error, *_BAD_VALUES) as error:
                fault = _fault(self._name, error)
                if isinstance(fault, Lost):
                    # Closing rolls back, and the next use begins with a connection that knows nothing of the fault.
                    self.close()
                    raise fault from None
                # Inside a transaction nobody stands in the way any more; what is busy there will not pass.
                is_over = self._connection.in_transaction or clock.monotonic() - began >= BUSY_SECONDS
                if is_over or not isinstance(fault, Transient):
                    raise fault from None
            clock.pause(BUSY_PAUSE_SECONDS * (0.5 + clock.jitter()))

    def run(self, calls: Sequence[Call], *, prepare: bool = True) -> list[list[Row]]:
        self._set_moment()
        return [self.rows(call.statement, call.params) for call in calls]


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
            judged = _fault("the caller's database", error)
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
        # Where the next look at a queue's partitions begins; two threads of this process may both look there.
        self._after: dict[str, str] = {}

    @property
    def name(self) -> str:
        return f"sqlite:///{self._path}"

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
            with self._pool.lend() as link, cast("SqliteLink", link).transaction() as transaction:
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

    def close(self) -> None:
        self._pool.close()


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
