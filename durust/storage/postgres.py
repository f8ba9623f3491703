"""The provider that keeps the state in Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from durust.errors import InvalidArgument, ProviderUnavailable
from durust.model.claims import Claims
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import Checkpoint, ExecutorRow, MessageRow, QueueRow, StoredSchedules, VersionRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.model.sweeps import Purged, Swept
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.storage import announcements, asking, columns, copy_columns, counting, migrating, reading, rows, statements
from durust.storage.claiming import Claiming
from durust.storage.links import BadData, Call, Row
from durust.storage.pool import Pool, persist
from durust.storage.postgres_address import PLANNED_ONCE, PLANNING, SETTLED, Address
from durust.storage.postgres_link import PostgresLink
from durust.storage.postgres_transactions import PostgresSession, PostgresTransaction
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.purging import purge
from durust.storage.sweeping import sweep
from durust.storage.transactions import TRANSACTIONS_MAX, TURN_SECONDS, OpenTransaction
from durust.storage.writing import BatchWriter
from durust.telemetry import emit

SQL = statements.load("postgres")

# A migration waits for another one, and may build an index over a table of another library.
MIGRATION_LOCK_SECONDS = 60
MIGRATION_STATEMENT_SECONDS = 3600


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

    def _connect(self, planning: str = PLANNING) -> PostgresLink:
        parameters = self._address.parameters(planning=planning)
        return PostgresLink(self.name, parameters, is_pooled=self._address.is_pooled)

    def _connect_writer(self) -> PostgresLink:
        return self._connect(PLANNED_ONCE)

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
