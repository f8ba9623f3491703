"""The provider that keeps the state in a SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from durust.errors import InvalidArgument
from durust.model.claims import Claims
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import Checkpoint, ExecutorRow, MessageRow, QueueRow, StoredSchedules, VersionRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.model.sweeps import Purged, Swept
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.storage import (
    copy_columns,
    counting,
    rows,
    sqlite_claims,
    sqlite_files,
    sqlite_filters,
    sqlite_log,
    sqlite_purges,
    sqlite_reading,
    sqlite_schema,
    sqlite_sweeps,
)
from durust.storage.links import BadData, Call, Row
from durust.storage.pool import Pool, persist
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.sqlite_links import SqliteLink, is_careful
from durust.storage.sqlite_listening import SqliteListener
from durust.storage.sqlite_statements import SQL, Params, Transaction
from durust.storage.sqlite_transactions import SqliteSession, SqliteTransaction
from durust.storage.sqlite_writing import SqliteWriter
from durust.storage.statements import Statement
from durust.storage.transactions import TURN_SECONDS, OpenTransaction

T = TypeVar("T")


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
            sqlite_schema.judge(self.name, link, *sqlite_schema.wanted())
            link.use_log()
            with link.transaction() as transaction:
                sqlite_schema.bring_up(self.name, transaction, *sqlite_schema.wanted())

    def check(self) -> None:
        def once() -> None:
            with closing(self._open()) as link:
                sqlite_schema.demand(self.name, link, *sqlite_schema.wanted())

        persist(self.name, once)

    def writer(self) -> Writer:
        return SqliteWriter(self.name, self._connect)

    def claim(self, request: ClaimRequest) -> Claims:
        if not self._read(SQL.find_claimable, sqlite_claims.claim_params(request)):
            return Claims()
        claims = self._write(lambda transaction: sqlite_claims.Claim(transaction, request, self._after).take())
        # Read after the claim's commit: only now can no earlier owner add to it.
        steps = self.history([claim.lease.workflow_id for claim in claims])
        return rows.with_histories(claims, steps)

    def sweep(self, request: SweepRequest) -> Swept:
        swept = self._write(lambda transaction: sqlite_sweeps.sweep(transaction, request))
        if is_careful():
            self._copy_log()
        return swept

    def _copy_log(self) -> None:
        sqlite_log.copy(self._path, self._connect)

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
        return SqliteListener(self._connect)

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
