"""A connection to Postgres that sends a whole transaction in one flush and only then reads."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from durust import clock
from durust.errors import ProviderMisuse
from durust.failpoints import failpoint
from durust.storage import statements
from durust.storage.links import BadData, Call, Lost, Param, Row, fault
from durust.storage.pool import abandon
from durust.storage.postgres_address import SETTLED, STATEMENT_SECONDS

SQL = statements.load("postgres")

# The oldest server whose statements and functions are all there; the tests run on the newest.
SERVER_VERSION_MIN = 140_000
# Twice what the server grants a statement, for a path to it that swallows everything, or a server that was stopped: it
# must not swallow a thread as well, nor hold up the end of the process for longer than somebody waits for that.
ANSWER_SECONDS = 2.0 * STATEMENT_SECONDS

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
def compiled(sql: str) -> tuple[bytes, tuple[str, ...]]:
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
        sql, names = compiled(call.statement.sql)
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
