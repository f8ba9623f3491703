"""The provider that keeps everything in this process: the reference that the other providers are measured by."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from durust import clock
from durust.errors import ProviderMisuse, ProviderUnavailable
from durust.model.copies import WorkflowCopy, order
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import (
    FINAL,
    ClaimRequest,
    ExecutorQuery,
    ListFilter,
    PurgeRequest,
    Scope,
    SweepRequest,
)
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
from durust.model.status import DELAYED, PENDING, TRANSITIONS, Event
from durust.model.validity import refusal
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.model.wakes import told
from durust.model.writes import APPLY_ORDER, INTERNAL_QUEUE, DebounceWorkflow, Outcome, Refused, Write
from durust.storage import debounces
from durust.storage.counting import count, count_steps
from durust.storage.listening import LocalListener
from durust.storage.matching import is_behind, matches
from durust.storage.memory_claims import Claim, steps_of
from durust.storage.memory_messages import listed
from durust.storage.memory_standing import standing_of
from durust.storage.memory_tables import Tables, bare, is_in
from durust.storage.provider import Hint, Listener, Writer
from durust.storage.transactions import OpenTransaction

# One reap is one transaction elsewhere, so its size is bounded there and here.
REAP_LIMIT = 64
# Of executors only: ids of this form are durust's, others belong to another library's processes.
OWN_PREFIX = "du:"


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
        outcomes: dict[int, Outcome] = {}
        groups: dict[type, list[tuple[int, Any]]] = {}
        for place, write in enumerate(writes):
            reason = refusal(write)
            if reason:
                outcomes[place] = Refused(reason)
            else:
                groups.setdefault(type(write), []).append((place, write))
        with self._transaction():
            for kind in APPLY_ORDER:
                if kind is DebounceWorkflow:
                    outcomes |= debounces.answers(groups.get(kind, []), self._tables.apply)
                else:
                    outcomes |= {place: self._tables.apply(write) for place, write in groups.get(kind, ())}
            answers = [outcomes[place] for place in range(len(writes))]
            return told(writes, answers, self._tables.wake_all)

    def claim(self, request: ClaimRequest) -> Claims:
        with self._transaction():
            me = self._tables.executors.get(request.executor_id)
            if me is None or me.row.state != "LIVE" or me.lease_until <= clock.boottime():
                return Claims()
            return Claim(self._tables, request).take()

    def sweep(self, request: SweepRequest) -> Swept:
        with self._transaction():
            now = self._tables.now_ms
            deadlines = self._deadlines(request.scope)
            late = [key for until, key in deadlines if until <= now][: request.limit]
            for key in late:
                self._tables.call_off(key, Event.EXPIRE)
            waiting = sorted(
                (row.delay_until_ms, row.workflow_id)
                for row in self._tables.workflows.values()
                if row.status is DELAYED and row.delay_until_ms is not None and is_in(request.scope, row)
            )
            due = [key for until, key in waiting if until <= now][: request.limit]
            queued = [self._tables.fall_due(key) for key in due]
            arrived = self._tables.arrived(request.scope)[: request.limit]
            woken = [self._tables.fall_due(key) for key in arrived]
            reaped = self._lapsed(request) if request.reap else ()
            released = self._tables.retire(reaped, "its lease lapsed")
            orphans = self._tables.free(islice(self._orphans(request.scope), request.limit))
            forgotten = self._tables.forget_grants(request.limit)
            next_due = min((until for until, _ in (*waiting[len(due) :], *deadlines[len(late) :])), default=None)
            return Swept(
                due=len(due),
                reaped=reaped,
                released=len(released.workflow_ids),
                timed_out=len(late),
                arrived=len(arrived),
                orphans=len(orphans.workflow_ids),
                queues=released.queues | orphans.queues | {row.queue or INTERNAL_QUEUE for row in (*queued, *woken)},
                next_due_seconds=None if next_due is None else max(0.0, (next_due - now) / 1000),
                more=request.limit
                in {len(due), len(late), len(arrived), len(reaped), len(orphans.workflow_ids), forgotten}
                or len(reaped) == REAP_LIMIT,
            )

    def _deadlines(self, scope: Scope) -> list[tuple[int, str]]:
        """Return the deadlines that stand, the earliest first."""
        return sorted(
            (row.deadline_ms, row.workflow_id)
            for row in self._tables.workflows.values()
            if row.status in TRANSITIONS[Event.EXPIRE].sources and row.deadline_ms is not None and is_in(scope, row)
        )

    def _lapsed(self, request: SweepRequest) -> tuple[str, ...]:
        now = clock.boottime()
        lapsed = sorted(
            (executor.lease_until, key)
            for key, executor in self._tables.executors.items()
            if executor.row.state != "DEAD"
            and executor.row.supervisor_id != request.supervisor_id
            and executor.lease_until <= now
        )
        return tuple(key for _, key in lapsed[: min(request.limit, REAP_LIMIT)])

    def _orphans(self, scope: Scope) -> list[WorkflowRow]:
        return [
            row
            for row in self._tables.workflows.values()
            if row.status is PENDING
            and row.executor_id is not None
            and row.executor_id.startswith(OWN_PREFIX)
            and self._tables.state(row.executor_id) in {None, "DEAD"}
            and is_in(scope, row)
        ]

    def purge(self, request: PurgeRequest) -> Purged:
        with self._transaction():
            found = [row.workflow_id for row in self._purgeable(request)][: request.limit]
            if request.is_dry:
                return Purged(len(found), more=len(found) == request.limit)
            dead = self._tables.long_dead(request.scope.app_name, request.dead_before_seconds)[: request.limit]
            for key in found:
                self._tables.forget(key)
            for key in dead:
                del self._tables.executors[key]
            return Purged(len(found), len(dead), more=request.limit in {len(found), len(dead)})

    def _purgeable(self, request: PurgeRequest) -> Iterator[WorkflowRow]:
        """Return the rows that a purge may remove, the oldest end first."""
        rows = self._tables.workflows
        ended = sorted(
            (row.completed_at_ms, row.workflow_id)
            for row in rows.values()
            if row.status in request.statuses and row.completed_at_ms is not None and is_in(request.scope, row)
        )
        age, keep = request.ended_before_seconds, request.keep_newest
        last_ms = None if age is None else self._tables.now_ms - round(age * 1000)
        waited_for = {wait.target for waits in self._tables.waits.values() for wait in waits}
        for place, (ended_ms, key) in enumerate(ended):
            is_old = last_ms is not None and ended_ms <= last_ms
            is_beyond = keep is not None and place < len(ended) - keep
            parent = rows.get(rows[key].parent_id or "")
            is_awaited = key in waited_for or (parent is not None and parent.status not in FINAL)
            if (is_old or is_beyond) and not is_awaited:
                yield rows[key]

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
            return listed(self._tables.messages, workflow_id)

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        with self._lock:
            self._demand_open()
            found = self._tables.copies(workflow_id, children=children)
            return sorted(found, key=lambda copy: order(workflow_id, copy))

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
            if row is not None and matches(row, query) and (not query.is_stranded or self._tables.is_stranded(row)):
                yield row

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        with self._lock:
            self._demand_open()
            found = ((one, self._tables.found(one)) for one in awaited)
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
            return StoredSchedules(self._tables.now_ms, self._tables.schedules.all())

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        with self._lock:
            self._demand_open()
            mine = [version for version in self._tables.versions.values() if version.app_name == app_name]
            mine.sort(key=lambda version: (version.promoted_at_ms, version.created_at_ms, version.name), reverse=True)
            return [self._tables.version_row(version) for version in mine[:limit]]

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
