"""Executors in memory: they enter, renew their leases, stop claiming, and leave what they hold to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from durust import clock
from durust.model.records import ExecutorRow, WorkflowRow
from durust.model.status import PENDING, Event
from durust.model.writes import (
    INTERNAL_QUEUE,
    Alive,
    Beat,
    DrainExecutor,
    Missing,
    Outcome,
    Recorded,
    RegisterExecutor,
    Released,
    Retire,
)
from durust.storage.memory_tables import Executor, Kinds, Tables

_LIVING = frozenset({"LIVE", "DRAINING"})


def register(tables: Tables, write: RegisterExecutor) -> Outcome:
    """Enter an executor, once."""
    if write.executor_id not in tables.executors:
        row = ExecutorRow(
            executor_id=write.executor_id,
            supervisor_id=write.supervisor_id,
            host=write.host,
            boot_id=write.boot_id,
            pid_ns=write.pid_ns,
            pid=write.pid,
            pid_started=write.pid_started,
            app_name=write.app_name,
            app_version=write.app_version,
            state="LIVE",
            registered_at_ms=tables.now_ms,
            ended_at_ms=None,
            why=None,
            lease_seconds_left=write.ttl_seconds,
        )
        tables.executors[write.executor_id] = Executor(row, clock.boottime() + write.ttl_seconds)
    return Recorded()


def beat(tables: Tables, write: Beat) -> Outcome:
    """Renew the leases of executors that are not DEAD."""
    alive = frozenset(key for key in write.executor_ids if tables.state(key) in _LIVING)
    for key in alive:
        tables.executors[key].lease_until = clock.boottime() + write.ttl_seconds
    return Alive(alive)


def drain(tables: Tables, write: DrainExecutor) -> Outcome:
    """Stop an executor from claiming."""
    if tables.state(write.executor_id) not in _LIVING:
        return Missing()
    executor = tables.executors[write.executor_id]
    executor.row = replace(executor.row, state="DRAINING")
    return Recorded()


def retire(tables: Tables, write: Retire) -> Outcome:
    """Declare executors DEAD and release what they hold."""
    return bury(tables, write.executor_ids, write.why)


def bury(tables: Tables, executor_ids: Iterable[str], why: str) -> Released:
    """Declare executors DEAD and release what they hold."""
    ids = frozenset(executor_ids)
    for key in ids:
        if tables.state(key) in _LIVING:
            executor = tables.executors[key]
            executor.row = replace(executor.row, state="DEAD", ended_at_ms=tables.now_ms, why=why)
    return release(tables, (row for row in tables.workflows.values() if row.executor_id in ids))


def release(tables: Tables, rows: Iterable[WorkflowRow]) -> Released:
    """Queue those of *rows* that are PENDING again; of a run that crashed nothing else changes."""
    held = sorted(row.workflow_id for row in rows if row.status is PENDING)
    freed = [tables.disown(key, Event.RELEASE) for key in held]
    return Released(tuple(held), frozenset(row.queue or INTERNAL_QUEUE for row in freed))


KINDS: Kinds = {
    RegisterExecutor: register,
    Beat: beat,
    DrainExecutor: drain,
    Retire: retire,
}
