"""The provider that keeps everything in this process: the reference that the other providers are measured by."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from durust import clock
from durust.errors import ProviderMisuse, ProviderUnavailable
from durust.model.claims import Claims
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import Checkpoint, ExecutorRow, MessageRow, QueueRow, StoredSchedules, VersionRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.model.sweeps import Purged, Swept
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.model.writes import Outcome, Write
from durust.storage import (
    memory_batch,
    memory_copies,
    memory_purges,
    memory_sweeps,
)
from durust.storage.counting import count, count_steps
from durust.storage.listening import LocalListener
from durust.storage.matching import is_behind, matches
from durust.storage.memory_claims import Claim, steps_of
from durust.storage.memory_standing import standing_of
from durust.storage.memory_tables import Tables, bare
from durust.storage.memory_writes import messages, versions, waking
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.transactions import OpenTransaction


class InMemoryProvider:
    """Keeps the state in this process and loses it with it; one lock stands for every transaction."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables = Tables()
        self._listeners: list[LocalListener] = []
        self._is_closed = False

    @property
    def name(self) -> str:
        return "memory://"

    @property
    def location(self) -> str:
        return self.name

    @property
    def is_shared(self) -> bool:
        return False

    def migrate(self) -> None:
        self._demand_open()

    def check(self) -> None:
        self._demand_open()

    def writer(self) -> Writer:
        self._demand_open()
        return _MemoryWriter(self)

    def close(self) -> None:
        self._is_closed = True

    def _demand_open(self) -> None:
        if self._is_closed:
            raise ProviderUnavailable(self.name, "it was closed")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._demand_open()
            self._tables.now_ms = clock.now_ms()
            yield

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply *writes* as one transaction, by type and within a type in their order."""
        with self._transaction():
            return memory_batch.commit(self._tables, writes)

    def claim(self, request: ClaimRequest) -> Claims:
        with self._transaction():
            me = self._tables.executors.get(request.executor_id)
            if me is None or me.row.state != "LIVE" or me.lease_until <= clock.boottime():
                return Claims()
            return Claim(self._tables, request).take()

    def sweep(self, request: SweepRequest) -> Swept:
        with self._transaction():
            return memory_sweeps.sweep(self._tables, request)

    def purge(self, request: PurgeRequest) -> Purged:
        with self._transaction():
            return memory_purges.purge(self._tables, request)

    def history(self, workflow_ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        with self._lock:
            self._demand_open()
            return {key: steps_of(self._tables, key) for key in workflow_ids}

    def events(self, workflow_id: str) -> dict[str, StoredValue]:
        with self._lock:
            self._demand_open()
            return dict(sorted(self._tables.events.get(workflow_id, {}).items()))

    def streams(self, workflow_id: str) -> dict[str, tuple[StreamEntry, ...]]:
        with self._lock:
            self._demand_open()
            return {key: tuple(found) for key, found in sorted(self._tables.streams.get(workflow_id, {}).items())}

    def messages(self, workflow_id: str) -> list[MessageRow]:
        with self._lock:
            self._demand_open()
            return messages.listed(self._tables, workflow_id)

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        with self._lock:
            self._demand_open()
            return memory_copies.copies(self._tables, workflow_id, children=children)

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        with self._lock:
            self._demand_open()
            found = [row for row in self._meant(query) if is_behind(row, query)]
        found.sort(key=lambda row: (row.created_at_ms, row.workflow_id), reverse=query.newest_first)
        page = found[query.offset : query.offset + query.limit]
        return [bare(row, inputs=query.load_input, outputs=query.load_output) for row in page]

    def counts(self, query: CountQuery) -> list[WorkflowCount]:
        with self._lock:
            self._demand_open()
            rows = list(self._meant(query.filter))
        return count(rows, query)

    def step_counts(self, query: StepQuery) -> list[StepCount]:
        with self._lock:
            self._demand_open()
            return count_steps(self._tables, query)

    def _meant(self, query: ListFilter) -> Iterator[WorkflowRow]:
        rows = self._tables.workflows
        for key in rows if query.workflow_ids is None else dict.fromkeys(query.workflow_ids):
            row = rows.get(key)
            if row is None or not matches(row, query):
                continue
            if not query.is_stranded or versions.is_stranded(self._tables, row):
                yield row

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        with self._lock:
            self._demand_open()
            found = ((one, waking.found(self._tables, one)) for one in awaited)
            return {one: there for one, there in found if there is not None}

    def executors(self, query: ExecutorQuery) -> list[ExecutorRow]:
        with self._lock:
            self._demand_open()
            now = clock.boottime()
            found = [
                replace(executor.row, lease_seconds_left=executor.lease_until - now)
                for executor in self._tables.executors.values()
                if executor.row.state in query.states
                and (query.executor_ids is None or executor.row.executor_id in query.executor_ids)
                and query.boot_id in {None, executor.row.boot_id}
                and query.supervisor_id in {None, executor.row.supervisor_id}
            ]
        return sorted(found, key=lambda row: row.executor_id)

    def open_grants(self, executor_id: str) -> list[str]:
        with self._lock:
            self._demand_open()
            grants = self._tables.grants.items()
            return [token for token, grant in grants if grant.executor_id == executor_id and grant.ended_at_ms is None]

    def queues(self) -> list[QueueRow]:
        with self._lock:
            self._demand_open()
            return sorted(self._tables.queues.values(), key=lambda row: row.name)

    def standing(self, request: StandingRequest) -> Standing | None:
        with self._transaction():
            return standing_of(self._tables, request)

    def schedules(self) -> StoredSchedules:
        with self._transaction():
            rows = self._tables.schedules.values()
            return StoredSchedules(self._tables.now_ms, tuple(sorted(rows, key=lambda row: row.schedule_id)))

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        with self._lock:
            self._demand_open()
            return versions.listed(self._tables, app_name, limit)

    def transaction(self, isolation: str) -> AbstractContextManager[OpenTransaction]:
        raise ProviderMisuse(
            self.name,
            "it has no connection whose transaction a function could write in",
            "use a database of Postgres or SQLite, or name one by database=Datasource(...)",
        )

    def announce(self, hints: Sequence[Hint]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.hear(hints)

    def listen(self) -> Listener:
        listener = LocalListener(self._forget)
        with self._lock:
            self._demand_open()
            self._listeners.append(listener)
        return listener

    def _forget(self, listener: LocalListener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


class _MemoryWriter:
    def __init__(self, provider: InMemoryProvider) -> None:
        self._provider = provider

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        return self._provider.commit(writes)

    def close(self) -> None:
        """Hold nothing, so release nothing."""
