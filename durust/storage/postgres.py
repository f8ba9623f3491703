"""The provider that keeps the state in Postgres, and the only door to its driver."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, cast

import psycopg
from psycopg import conninfo, pq
from psycopg.adapt import Transformer
from psycopg.rows import tuple_row

from durust import clock
from durust.errors import InvalidArgument, ProviderMisuse, ProviderUnavailable, SchemaMismatch
from durust.failpoints import failpoint
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
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.storage import announcements, asking, columns, copy_columns, counting, migrating, reading, rows, statements
from durust.storage.claiming import Claiming
from durust.storage.links import BadData, Call, Lost, Param, Row, fault
from durust.storage.pool import Pool, abandon, persist
from durust.storage.postgres_transactions import PostgresSession, PostgresTransaction
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.purging import purge
from durust.storage.sweeping import sweep
from durust.storage.transactions import TRANSACTIONS_MAX, TURN_SECONDS, OpenTransaction
from durust.storage.writing import BatchWriter
from durust.telemetry import emit

SQL = statements.load("postgres")

# The oldest server whose statements and functions are all there; the tests run on the newest.
SERVER_VERSION_MIN = 140_000
# Half of the default lease: a process stopped inside a transaction must not hold locks while it is being reaped.
IDLE_IN_TRANSACTION_SECONDS = 5
# The locks that a batch meets are held for milliseconds; whoever waits longer should let go of its own.
LOCK_SECONDS = 2
# Below the default lease: what takes longer comes too late for the run that asked.
STATEMENT_SECONDS = 8
# A migration waits for another one, and may build an index over a table of another library.
MIGRATION_LOCK_SECONDS = 60
MIGRATION_STATEMENT_SECONDS = 3600
# Twice what the server grants a statement, for a path to it that swallows everything, or a server that was stopped: it
# must not swallow a thread as well, nor hold up the end of the process for longer than somebody waits for that.
ANSWER_SECONDS = 2.0 * STATEMENT_SECONDS

PORT_MAX = 65_535

# What the owner of the database or of the role may have set otherwise, for programs of his own. What stands in the
# second statement of a transaction is there because it has to see more than the first one saw; our arrays hold nulls;
# and the names of types are compared.
_EXPECTED = "-c default_transaction_isolation=read\\ committed -c array_nulls=on -c quote_all_identifiers=off"
# Every statement has an index for its access path. Without these the plan that a connection keeps would be the one for
# tables that were still empty when it was made; and plans whose cost is inflated by that must not be compiled.
_PLANNING = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
# For a batch of one, Postgres finds a plan for its very values cheaper, by so little that planning it each time takes
# twice as long as everything else: 1,700 against 3,700 steps a second.
_PLANNED_ONCE = f"{_PLANNING} -c plan_cache_mode=force_generic_plan"
# libpq's own defaults notice a dead peer after two hours, these within half a minute.
_NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

# The server ends the connection over a message of 1 GiB.
MESSAGE_BYTES_MAX = 1_000_000_000

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.NONFATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)

# The text, the name under which it is prepared if it is, and the values.
Command = tuple[bytes, bytes | None, list[bytes | None]]
# In words, because behind a pooler no connection has settings of ours.
_BEGIN: Command = (b"begin isolation level read committed", None, [])
_COMMIT: Command = (b"commit", None, [])


@cache
def _compile(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Return *sql* with numbered parameters, and their names in order."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(sql)))
    return _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", sql).encode(), names


def _encode(value: Param) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return b"t" if value else b"f"
    try:
        # A text is not made a text again: an enum's member would become its name.
        data = (value if isinstance(value, str) else str(value)).encode()
    except UnicodeEncodeError as error:
        raise BadData(f"a lone surrogate: {error.reason}") from None
    if b"\0" in data:
        raise BadData("a NUL, which Postgres keeps in no text")
    return data


class Address:
    """A URL taken apart: what libpq gets, what is ours, and what a reader may see.

    Raises `InvalidArgument` for a URL that libpq does not understand, or a value of ours that does not exist.
    """

    def __init__(self, url: str, app_name: str) -> None:
        base, _, query = url.partition("?")
        ours = [part for part in query.split("&") if part.partition("=")[0] == "pooler"]
        theirs = [part for part in query.split("&") if part and part not in ours]
        for part in ours:
            if part != "pooler=transaction":
                raise InvalidArgument("url", part, "the only pooler that needs a word is pooler=transaction")
        self.is_pooled = bool(ours)
        try:
            given = conninfo.conninfo_to_dict("?".join([base, *filter(None, ["&".join(theirs)])]))
        except psycopg.ProgrammingError as error:
            raise InvalidArgument("url", _label(base), str(error).strip()) from None
        for port in filter(None, str(given.get("port", "")).split(",")):
            if not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
                raise InvalidArgument("url", _label(base), f"{port} is no port; the default one is 5432")
        self._parameters = {"application_name": f"durust {app_name}", **_NETWORK, **given, "client_encoding": "UTF8"}
        self.name = _label(base)
        place = [str(given.get(part) or "") for part in ("host", "hostaddr", "port", "dbname", "user")]
        self.location = f"postgresql {' '.join(place)}"

    def parameters(
        self, lock_seconds: int = LOCK_SECONDS, statement_seconds: int = STATEMENT_SECONDS, planning: str = _PLANNING
    ) -> dict[str, Any]:
        """Return what to connect with. A pooler's server connections are shared, so there nothing is set for good."""
        if self.is_pooled:
            return self._parameters
        settings = (
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s -c lock_timeout={lock_seconds}s "
            f"-c statement_timeout={statement_seconds}s -c durust.quiet=on {_EXPECTED} {planning}"
        )
        return {**self._parameters, "options": f"{self._parameters.get('options', '')} {settings}".strip()}

    def plain(self) -> dict[str, Any]:
        """Return what to connect with where the statements are the user's: nothing is set for them."""
        return self._parameters


def _label(base: str) -> str:
    return re.sub(r"://([^:/@]*):[^@/]*@", r"://\1:***@", base)


class PostgresLink:
    """A connection that sends a whole transaction in one flush and only then reads."""

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        is_pooled: bool = False,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._name, self._is_pooled, self._answer_seconds = name, is_pooled, answer_seconds
        self._pid = os.getpid()
        self._prepared: dict[bytes, bytes] = {}
        try:
            self._connection = psycopg.connect(autocommit=True, **parameters)
        except psycopg.Error as error:
            raise Lost(str(error)) from None
        self._pg = self._connection.pgconn
        self._loader = Transformer.from_context(self._connection)
        if self._pg.server_version < SERVER_VERSION_MIN:
            self.close()
            raise ProviderMisuse(
                name, f"its version is {self._pg.server_version // 10_000}", "use Postgres 14 or newer"
            )

    @property
    def is_open(self) -> bool:
        return self._pid == os.getpid() and self._pg.status == pq.ConnStatus.OK

    def fileno(self) -> int:
        return self._pg.socket

    def close(self) -> None:
        if self._pid == os.getpid():
            self._connection.close()
        else:
            abandon(self)

    def run(self, calls: Sequence[Call]) -> list[list[Row]]:
        for call in calls:
            failpoint(call.statement.before)
        results = self._exchange([self._command(call) for call in calls])
        for call in calls:
            failpoint(call.statement.after)
        return [self._rows(result) for result in results]

    def _command(self, call: Call) -> Command:
        sql, names = _compile(call.statement.sql)
        values = [_encode(call.params[name]) for name in names]
        size = sum([len(value) for value in values if value is not None])
        if size > MESSAGE_BYTES_MAX:
            raise BadData(f"{size} bytes, more than the {MESSAGE_BYTES_MAX} of one message")
        if not call.is_hot or self._is_pooled:
            return sql, None, values
        return (
            sql,
            self._prepared.get(sql) or f"durust_{len(self._prepared)}_{call.statement.name}".encode()[:63],
            values,
        )

    def _exchange(self, commands: list[Command]) -> list[pq.abc.PGresult]:
        """Send *commands* as one transaction in one flush; return their results."""
        framed = [_BEGIN, *commands, _COMMIT]
        if self._is_pooled:
            framed.insert(1, self._command(Call(SQL.settle_transaction, SETTLED)))
        elif len(commands) == 1:
            # One statement is a transaction by itself.
            framed = commands
        try:
            results = self._pipeline(framed)
        except psycopg.Error as error:
            self.close()
            raise Lost(str(error)) from None
        except BaseException:
            # Interrupted in the middle: nobody knows what is still to be read.
            self.close()
            raise
        if self._pg.transaction_status != pq.TransactionStatus.IDLE and len(framed) > 1:
            self._pg.exec_(b"rollback")
        for result in results:
            if result.status in _FAILED:
                self._fail(result)
        return results[-1 - len(commands) : -1] if len(framed) > 1 else results

    def _pipeline(self, commands: list[Command]) -> list[pq.abc.PGresult]:
        pg = self._pg
        pg.enter_pipeline_mode()
        fresh: dict[bytes, bytes] = {}
        # Prepared first, so that nothing but executions stands between begin and commit.
        for sql, name, _ in commands:
            if name is not None and sql not in self._prepared and sql not in fresh:
                fresh[sql] = name
                pg.send_prepare(name, sql)
        for sql, name, values in commands:
            if name is None:
                pg.send_query_params(sql, values)
            else:
                pg.send_query_prepared(fresh.get(sql, name), values)
        pg.pipeline_sync()
        deadline = clock.monotonic() + self._answer_seconds
        while pg.flush():
            if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                pg.consume_input()
        results = []
        for _ in range(len(fresh) + len(commands)):
            result = self._next(deadline)
            if result is None:
                raise psycopg.OperationalError("a command without a result")
            results.append(result)
            # An empty result ends each command's.
            self._next(deadline)
        self._next(deadline)
        pg.exit_pipeline_mode()
        for (sql, name), result in zip(fresh.items(), results, strict=False):
            if result.status == pq.ExecStatus.COMMAND_OK:
                self._prepared[sql] = name
            elif result.status in _FAILED:
                return [result]
        return results[len(fresh) :]

    def _next(self, deadline: float) -> pq.abc.PGresult | None:
        pg = self._pg
        while pg.is_busy():
            self._wait(select.POLLIN, deadline)
            pg.consume_input()
        result = pg.get_result()
        if result is not None and pg.status != pq.ConnStatus.OK:
            self._fail(result)
        return result

    def _wait(self, events: int, deadline: float) -> int:
        poller = select.poll()
        poller.register(self._pg.socket, events)
        ready = poller.poll(max(0.0, deadline - clock.monotonic()) * 1000)
        if not ready:
            raise psycopg.OperationalError(f"no answer within {self._answer_seconds:g} s")
        return ready[0][1]

    def _fail(self, result: pq.abc.PGresult) -> None:
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message or b"connection lost"
        severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
        is_fatal = severity in {b"FATAL", b"PANIC"}
        error = fault(
            self._name, state.decode() if state else None, message.decode(errors="replace"), is_fatal=is_fatal
        )
        if isinstance(error, Lost):
            self.close()
        raise error

    def _rows(self, result: pq.abc.PGresult) -> list[Row]:
        self._loader.set_pgresult(result)
        return self._loader.load_rows(0, result.ntuples, tuple)

    def script(self, sql: str) -> None:
        result = self._pg.exec_(sql.encode())
        if result.status in _FAILED:
            self._fail(result)

    def hear(self) -> list[tuple[int, str, str]]:
        """Return the senders, channels and payloads of notifications that came in. Raises `Lost`."""
        heard = []
        try:
            self._pg.consume_input()
            while notification := self._pg.notifies():
                channel = notification.relname.decode(errors="replace")
                heard.append((notification.be_pid, channel, notification.extra.decode(errors="replace")))
        except psycopg.Error as error:
            self.close()
            raise Lost(str(error)) from None
        return heard


class BorrowedPostgres:
    """A connection of the caller's: what runs on it is part of his transaction, and its faults are the driver's own.

    Raises `InvalidArgument` for a connection of another kind, or one that would commit each statement by itself.
    """

    def __init__(self, connection: object) -> None:
        if not isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
            raise InvalidArgument("connection", connection, "must be a psycopg.Connection or psycopg.AsyncConnection")
        if connection.autocommit and connection.info.transaction_status == pq.TransactionStatus.IDLE:
            raise InvalidArgument(
                "connection",
                connection,
                "is in autocommit mode: open a transaction, as by `with connection.transaction():`",
            )
        self._connection = connection

    @property
    def connection(self) -> object:
        """Return the connection."""
        return self._connection

    @property
    def is_async(self) -> bool:
        """Tell whether it has to be awaited."""
        return isinstance(self._connection, psycopg.AsyncConnection)

    def run(self, call: Call) -> list[Row]:
        """Run a call and return its rows. Raises `SchemaMismatch`, and what the driver raises."""
        connection = cast("psycopg.Connection[Any]", self._connection)
        # A cursor of our own kind, whatever the connection makes, and unprepared, because a pooler may be near.
        with self._judged(), psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            return cursor.execute(call.statement.sql.encode(), call.params, prepare=False).fetchall()

    async def arun(self, call: Call) -> list[Row]:
        """Run a call and return its rows, as the blocking twin does."""
        connection = cast("psycopg.AsyncConnection[Any]", self._connection)
        with self._judged():
            async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
                await cursor.execute(call.statement.sql.encode(), call.params, prepare=False)
                return await cursor.fetchall()

    @contextmanager
    def _judged(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            judged = fault(f"the caller's database {self._connection.info.dbname!r}", error.sqlstate, str(error))
            if isinstance(judged, SchemaMismatch):
                raise judged from error
            raise


SETTLED: Mapping[str, Param] = {
    "idle": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "lock": f"{LOCK_SECONDS}s",
    "statement": f"{STATEMENT_SECONDS}s",
}


# ---------------------------------------------------------------------------------------------------------------------


class Closable(Protocol):
    """Something that ends with the provider."""

    def close(self) -> None:
        """Let go of it."""


class PostgresProvider:
    """Keeps the state in Postgres, in the canonical tables and in durust's own.

    *url* is what libpq takes, `postgresql://user@host/database?sslmode=require`, and `pooler=transaction` where a
    pooler hands out server connections by the transaction. Nothing is connected before it is needed.
    """

    def __init__(self, url: str, *, app_name: str = "durust", server: Closable | None = None) -> None:
        self._address = Address(url, app_name)
        self._server = server
        self._pool = Pool(self.name, self._connect)
        self._sessions = Pool(self.name, self._open_session, TRANSACTIONS_MAX)
        # Not again after a lost connection: the rows may be claimed already, and the audit hands them back.
        self._claiming = Claiming(lambda calls: self._run(calls, after_loss=False))

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def location(self) -> str:
        return self._address.location

    @property
    def is_shared(self) -> bool:
        return True

    def _connect(self, planning: str = _PLANNING) -> PostgresLink:
        parameters = self._address.parameters(planning=planning)
        return PostgresLink(self.name, parameters, is_pooled=self._address.is_pooled)

    def _connect_writer(self) -> PostgresLink:
        return self._connect(_PLANNED_ONCE)

    def _run(self, calls: Sequence[Call], *, after_loss: bool = True) -> list[list[Row]]:
        def once() -> list[list[Row]]:
            with self._pool.lend() as link:
                return link.run(calls)

        try:
            return persist(self.name, once, after_loss=after_loss)
        except BadData as error:
            raise InvalidArgument("query", calls[0].statement.name, f"cannot be asked with {error}") from None

    def migrate(self) -> None:
        def once() -> None:
            parameters = self._address.parameters(MIGRATION_LOCK_SECONDS, MIGRATION_STATEMENT_SECONDS)
            link = PostgresLink(self.name, parameters, answer_seconds=MIGRATION_STATEMENT_SECONDS)
            try:
                migrating.migrate(self.name, link)
            finally:
                # Closing rolls back what a failure left open.
                link.close()

        persist(self.name, once)

    def check(self) -> None:
        migrating.check(self.name, lambda call: self._run([call])[0])

    def writer(self) -> Writer:
        return BatchWriter(self.name, self._connect_writer)

    def claim(self, request: ClaimRequest) -> Claims:
        claims, ran_before = self._claiming.claim(request)
        if not ran_before:
            return claims
        # A later statement, after the claim's commit: only now can no earlier owner add to what is read.
        return rows.with_histories(claims, self.history(ran_before))

    def sweep(self, request: SweepRequest) -> Swept:
        return sweep(self._run, request)

    def purge(self, request: PurgeRequest) -> Purged:
        return purge(self._run, request)

    def history(self, workflow_ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        [found] = self._run([Call(SQL.read_history, {"ids": columns.texts(workflow_ids)}, is_hot=True)])
        return rows.histories(workflow_ids, found)

    def events(self, workflow_id: str) -> dict[str, StoredValue]:
        [found] = self._run([Call(SQL.list_events, {"id": workflow_id})])
        return rows.events(found)

    def streams(self, workflow_id: str) -> dict[str, tuple[StreamEntry, ...]]:
        [found] = self._run([Call(SQL.list_streams, {"id": workflow_id})])
        return rows.streams(found)

    def messages(self, workflow_id: str) -> list[MessageRow]:
        [found] = self._run([Call(SQL.list_messages, {"id": workflow_id})])
        return [rows.message(row) for row in found]

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        [found] = self._run([Call(SQL.copy_workflows, {"id": workflow_id, "children": children})])
        return copy_columns.copies(workflow_id, found)

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        [found] = self._run([Call(SQL.list_workflows, asking.list_workflows(query))])
        return [rows.workflow(row) for row in found]

    def counts(self, query: CountQuery) -> list[WorkflowCount]:
        [found] = self._run([Call(SQL.count_workflows, asking.count_workflows(query))])
        return [counting.workflow_count(row) for row in found]

    def step_counts(self, query: StepQuery) -> list[StepCount]:
        [found] = self._run([Call(SQL.count_steps, asking.count_steps(query))])
        return [counting.step_count(row) for row in found]

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        return reading.values(self._run, awaited)

    def executors(self, query: ExecutorQuery) -> list[ExecutorRow]:
        [found] = self._run([Call(SQL.list_executors, asking.list_executors(query))])
        return [rows.executor(row) for row in found]

    def open_grants(self, executor_id: str) -> list[str]:
        [found] = self._run([Call(SQL.list_open_grants, {"executor": executor_id})])
        return [row[0] for row in found]

    def queues(self) -> list[QueueRow]:
        [found] = self._run([Call(SQL.list_queues)])
        return [rows.queue(row) for row in found]

    def standing(self, request: StandingRequest) -> Standing | None:
        params = asking.standing(request)
        asked = (SQL.read_standing, SQL.count_running, SQL.list_waits)
        return rows.standing(*self._run([Call(statement, params) for statement in asked]))

    def schedules(self) -> StoredSchedules:
        [found] = self._run([Call(SQL.list_schedules)])
        return rows.schedules(found)

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        [found] = self._run([Call(SQL.list_versions, {"app": app_name, "limit": limit})])
        return rows.versions(found)

    def announce(self, hints: Sequence[Hint]) -> None:
        payloads, foreign = announcements.payloads(hints), announcements.foreign(hints)
        if payloads:
            told = {
                "payloads": columns.texts(payloads),
                "channels": columns.texts(channel for channel, _ in foreign),
                "keys": columns.texts(key for _, key in foreign),
            }
            try:
                self._run([Call(SQL.announce_hints, told)], after_loss=False)
            except ProviderUnavailable as error:
                # The commit that they speak of stands, and polls find it.
                emit("hints_lost", reason=error.reason)

    def listen(self) -> Listener:
        return announcements.PostgresListener(None if self._address.is_pooled else self._subscribe)

    def _subscribe(self) -> PostgresLink:
        link = self._connect()
        for channel in (announcements.CHANNEL, *announcements.FOREIGN_CHANNELS):
            link.script(f"listen {channel}")
        return link

    @contextmanager
    def transaction(self, isolation: str) -> Iterator[OpenTransaction]:
        with self._sessions.lend(TURN_SECONDS) as session, session.begin(isolation) as mark:
            yield PostgresTransaction(session, mark, SETTLED)

    def _open_session(self) -> PostgresSession:
        return PostgresSession(self.name, self._address.plain(), is_pooled=self._address.is_pooled)

    def close(self) -> None:
        self._pool.close()
        self._sessions.close()
        if self._server is not None:
            self._server.close()
