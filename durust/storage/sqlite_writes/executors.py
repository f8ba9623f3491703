"""Executors on SQLite: they enter, renew their leases, stop claiming, and leave what they hold to others."""

from __future__ import annotations

from collections.abc import Sequence

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
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction


def register(transaction: Transaction, write: RegisterExecutor) -> Outcome:
    """Enter an executor, once."""
    values: dict[str, Param] = {
        "id": write.executor_id,
        "supervisor": write.supervisor_id,
        "host": write.host,
        "executor_boot": write.boot_id,
        "namespace": write.pid_ns,
        "pid": write.pid,
        "started": write.pid_started,
        "app": write.app_name,
        "version": write.app_version,
        "ttl": write.ttl_seconds,
    }
    transaction.change(SQL.register_executors, values)
    transaction.change(SQL.register_leases, values)
    return Recorded()


def beat(transaction: Transaction, write: Beat) -> Outcome:
    """Renew the leases of executors that are not DEAD."""
    return Alive(
        frozenset(
            executor_id
            for executor_id in write.executor_ids
            if transaction.change(SQL.beat, {"id": executor_id, "ttl": write.ttl_seconds})
        )
    )


def drain(transaction: Transaction, write: DrainExecutor) -> Outcome:
    """Stop an executor from claiming."""
    return Recorded() if transaction.change(SQL.drain_executors, {"id": write.executor_id}) else Missing()


def retire(transaction: Transaction, write: Retire) -> Outcome:
    """Declare executors DEAD and release what they hold."""
    return bury(transaction, write.executor_ids, write.why)


def bury(transaction: Transaction, executor_ids: Sequence[str], why: str) -> Released:
    """Declare executors DEAD, then release what they hold."""
    for executor_id in executor_ids:
        transaction.change(SQL.retire_executors, {"id": executor_id, "why": why})
    released = [
        row
        for executor_id in executor_ids
        for row in transaction.rows(SQL.release_workflows, {"id": executor_id, "internal": INTERNAL_QUEUE})
    ]
    return Released(tuple(sorted(row[0] for row in released)), frozenset(row[1] for row in released))


KINDS: Kinds = {
    RegisterExecutor: register,
    Beat: beat,
    DrainExecutor: drain,
    Retire: retire,
}
