"""Executors on Postgres: they register, beat, drain, and are retired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import (
    INTERNAL_QUEUE,
    Alive,
    Beat,
    DrainExecutor,
    Missing,
    Recorded,
    RegisterExecutor,
    Released,
    Retire,
)
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results, all_recorded, by_key

SQL = statements.load("postgres")


def register_executors(writes: Sequence[RegisterExecutor]) -> Params:
    """Return the columns of new executors."""
    return {
        "ids": texts(write.executor_id for write in writes),
        "supervisors": texts(write.supervisor_id for write in writes),
        "hosts": texts(write.host for write in writes),
        "boots": texts(write.boot_id for write in writes),
        "namespaces": texts(write.pid_ns for write in writes),
        "pids": numbers(write.pid for write in writes),
        "started": numbers(write.pid_started for write in writes),
        "apps": texts(write.app_name for write in writes),
        "versions": texts(write.app_version for write in writes),
        "ttls": numbers(write.ttl_seconds for write in writes),
    }


def beat(write: Beat) -> Params:
    """Return the parameters of one supervisor's beat."""
    return {"ids": texts(write.executor_ids), "ttl": write.ttl_seconds}


def drain_executors(writes: Sequence[DrainExecutor]) -> Params:
    """Return the ids of executors that drain."""
    return {"ids": texts(write.executor_id for write in writes)}


def retire_executors(executor_ids: Sequence[str], why: str) -> Params:
    """Return the parameters of a retirement's first statement."""
    return {"ids": texts(executor_ids), "why": why}


def release_workflows(executor_ids: Sequence[str]) -> Params:
    """Return the parameters of a retirement's second statement."""
    return {"ids": texts(executor_ids), "internal": INTERNAL_QUEUE}


def _retirement(writes: list[Retire]) -> list[Call]:
    """Return two calls for each write: mark, then, in a later snapshot, release."""
    return [
        call
        for write in writes
        for call in (
            Call(SQL.retire_executors, retire_executors(write.executor_ids, write.why)),
            Call(SQL.release_workflows, release_workflows(write.executor_ids)),
        )
    ]


def _alive(found: Group, results: Results) -> Answers:
    return {
        index: Alive(frozenset(row[0] for row in came_back))
        for (index, _), came_back in zip(found, results, strict=True)
    }


def _drained(found: Group, results: Results) -> Answers:
    came_back = {row[0] for row in results[0]}
    return {index: Recorded() if write.executor_id in came_back else Missing() for index, write in found}


def _released(found: Group, results: Results) -> Answers:
    return {
        index: Released(tuple(sorted(row[0] for row in released)), frozenset(row[1] for row in released))
        for (index, _), released in zip(found, results[1::2], strict=True)
    }


KINDS: Mapping[type, Kind] = {
    RegisterExecutor: Kind(
        # The first of one executor stands.
        calls=lambda writes: [
            Call(SQL.register_executors, register_executors(by_key(reversed(writes), lambda write: write.executor_id)))
        ],
        read=all_recorded,
    ),
    Beat: Kind(calls=lambda writes: [Call(SQL.beat, beat(write), is_hot=True) for write in writes], read=_alive),
    DrainExecutor: Kind(calls=lambda writes: [Call(SQL.drain_executors, drain_executors(writes))], read=_drained),
    Retire: Kind(calls=_retirement, read=_released),
}
