"""One connection to a SQLite file, and what can go wrong on it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from durust import clock
from durust.errors import DurustError, ProviderMisuse, SchemaMismatch
from durust.failpoints import failpoint
from durust.model.attributes import contains
from durust.storage import lent
from durust.storage.links import BadData, Call, Lost, Param, Row, Transient
from durust.storage.sqlite_statements import SQL, Params, Transaction
from durust.storage.statements import Statement
from durust.telemetry import logger

# The first with RETURNING.
VERSION_MIN = (3, 35, 0)
# Before it, a commit that resets the log beside a checkpoint may lose what was committed (the "WAL-reset bug").
VERSION_SAFE = (3, 51, 3)
# Writers wait for each other this long; a batch takes milliseconds, so behind this stands somebody who is stuck.
BUSY_SECONDS = 10.0
# Between two looks whether the other is done. The library's own patience sleeps up to 100 ms: beside three processes
# that write all the time, a fourth one then waited up to 8 s for its turn, as long as a lease.
BUSY_PAUSE_SECONDS = 0.001

# Extended codes carry the primary one in their low byte.
PRIMARY = 0xFF
_TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA})
_BAD_DATA = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE})
_UNMIGRATED = ("no such table", "no such column", "has no column")

# The process that opened each file. The library keeps what it knows about locks per process, and a forked child
# inherits that knowledge without the locks.
_homes: dict[Path, int] = {}


def needs_care(version: tuple[int, ...]) -> bool:
    """Tell whether this version of the library has the WAL-reset bug."""
    return version < VERSION_SAFE


def is_careful() -> bool:
    """Tell whether the library of this process has it, so that only one process at a time may copy the log."""
    return needs_care(sqlite3.sqlite_version_info)


@cache
def _tell_of_version() -> None:
    # Cached, so that it is said once in a process. To logs alone: whoever looks at a terminal has nothing to do.
    logger.info(
        "SQLite %s has a bug that can lose commits while its log is copied (fixed in %s); durust avoids it by copying "
        "the log under a lock, which costs some throughput",
        sqlite3.sqlite_version,
        ".".join(map(str, VERSION_SAFE)),
    )


def fault_of(name: str, error: Exception) -> Exception:
    """Return what an error of the library means for whoever asked."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & PRIMARY
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
    if primary == sqlite3.SQLITE_FULL:
        return Lost(f"{error}; make room where it stands")
    if primary == sqlite3.SQLITE_READONLY:
        return Lost(f"{error}; its file and its folder have to be writable")
    # The file, the disk or the connection.
    return Lost(str(error))


def text_of(data: bytes) -> str:
    """Return a text of the database, whatever bytes stand there."""
    # Another library may write any bytes as a text. Who reads the value is to fail, not everybody who meets the row.
    return data.decode(errors="surrogateescape")


_BAD_VALUES = (sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
_boot_id = cache(clock.boot_id)


class SqliteLink:
    """A connection: outside a transaction each statement is one of its own."""

    def __init__(
        self,
        name: str,
        path: Path,
        synchronous: str,
        mode: Literal["rw", "rwc"] = "rw",
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
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
                factory=factory,
            )
        except sqlite3.Error as error:
            raise fault_of(name, error) from None
        self._connection.text_factory = text_of
        # SQLite has no `@>` of its own; this one says the same.
        self._connection.create_function("durust_contains", 2, contains, deterministic=True)
        self._set_moment()
        self._configure(synchronous)

    def _configure(self, synchronous: str) -> None:
        self._pragma(f"synchronous={synchronous}")
        self._pragma("foreign_keys=on")
        if is_careful():
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
        self.begin_write()
        try:
            yield self
            if self._connection.in_transaction:
                self._execute(self._connection.execute, SQL.commit_write.sql, {})
        except BaseException:
            # An interrupt too: whatever ends this must not leave the one write lock held.
            if self.is_open and self._connection.in_transaction:
                self._connection.rollback()
            raise
        self._pass_afters()

    def begin_write(self) -> None:
        """Take the one write lock. Raises `ProviderMisuse` in a function that holds it already."""
        lent.demand_free(self._name)
        self._execute(self._connection.execute, SQL.begin_write.sql, {})
        self._afters = []
        # Read behind the lock, so that the order of commits is the order of their times.
        self._set_moment()

    def commit_write(self) -> None:
        """Commit what was begun so."""
        self._execute(self._connection.execute, SQL.commit_write.sql, {})
        self._pass_afters()

    def _pass_afters(self) -> None:
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
            raise fault_of(self._name, error) from None

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
                fault = fault_of(self._name, error)
                if isinstance(fault, Lost):
                    # Closing rolls back, and the next use begins with a connection that knows nothing of the fault.
                    self.close()
                    raise fault from None
                # Inside a transaction nobody stands in the way any more; what is busy there will not pass.
                is_over = self._connection.in_transaction or clock.monotonic() - began >= BUSY_SECONDS
                if is_over or not isinstance(fault, Transient):
                    is_held = not self._connection.in_transaction and lent.current(self._name) is not None
                    raise (Transient(f"{error}: {lent.HELD}") if is_held else fault) from None
            clock.pause(BUSY_PAUSE_SECONDS * (0.5 + clock.jitter()))

    def run(self, calls: Sequence[Call], *, prepare: bool = True) -> list[list[Row]]:
        self._set_moment()
        return [self.rows(call.statement, call.params) for call in calls]
