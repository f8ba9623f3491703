"""Definitions of queues on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import DeleteQueue, Missing, PauseQueue, Recorded, StoreQueue
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results, all_recorded, by_key

SQL = statements.load("postgres")


def store_queues(writes: Sequence[StoreQueue]) -> Params:
    """Return the columns of queue definitions."""
    return {
        "names": texts(write.name for write in writes),
        "worker": numbers(write.worker_concurrency for write in writes),
        "concurrency": numbers(write.global_concurrency for write in writes),
        "rates": numbers(write.rate_limit for write in writes),
        "periods": numbers(write.rate_period_seconds for write in writes),
        "prioritized": texts(str(write.priority_enabled) for write in writes),
        "partitioned": texts(str(write.partition_queue) for write in writes),
        "partition": numbers(write.partition_concurrency for write in writes),
        "partition_worker": numbers(write.partition_worker_concurrency for write in writes),
        "partition_rates": numbers(write.partition_rate_limit for write in writes),
        "partition_periods": numbers(write.partition_rate_period_seconds for write in writes),
        "apps": texts(write.app_name for write in writes),
        "keeps": texts(str(write.keeps) for write in writes),
    }


def queue_names(writes: Sequence[StoreQueue | PauseQueue | DeleteQueue]) -> Params:
    """Return the names of queues."""
    return {"names": texts(write.name for write in writes)}


def _standing(writes: list[StoreQueue]) -> list[StoreQueue]:
    """Return for each queue the definition that stands after all: the last that replaces, else the first that keeps."""
    keeping = by_key(reversed([write for write in writes if write.keeps]), lambda write: write.name)
    return by_key([*keeping, *(write for write in writes if not write.keeps)], lambda write: write.name)


def _pauses(writes: list[PauseQueue]) -> list[Call]:
    paused = [write for write in writes if write.is_paused]
    unpaused = [write for write in writes if not write.is_paused]
    return [
        Call(statement, queue_names(group))
        for statement, group in ((SQL.pause_queues, paused), (SQL.unpause_queues, unpaused))
        if group
    ]


def _named(found: Group, results: Results) -> Answers:
    came_back = {row[0] for rows_ in results for row in rows_}
    return {index: Recorded() if write.name in came_back else Missing() for index, write in found}


KINDS: Mapping[type, Kind] = {
    StoreQueue: Kind(
        calls=lambda writes: [
            Call(SQL.store_queues, store_queues(_standing(writes))),
            Call(SQL.grant_running, queue_names(writes)),
        ],
        read=all_recorded,
    ),
    PauseQueue: Kind(key=lambda write: write.name, calls=_pauses, read=_named),
    DeleteQueue: Kind(
        key=lambda write: write.name, calls=lambda writes: [Call(SQL.delete_queues, queue_names(writes))], read=_named
    ),
}
