"""The definitions of queues on SQLite."""

from __future__ import annotations

from durust.model.writes import DeleteQueue, Missing, Outcome, PauseQueue, Recorded, StoreQueue
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction


def store_queue(transaction: Transaction, write: StoreQueue) -> Outcome:
    """Store a definition; a queue that is paused stays so."""
    values: dict[str, Param] = {
        "name": write.name,
        "worker": write.worker_concurrency,
        "concurrency": write.global_concurrency,
        "rate": write.rate_limit,
        "period": write.rate_period_seconds,
        "is_prioritized": write.priority_enabled,
        "is_partitioned": write.partition_queue,
        "partition": write.partition_concurrency,
        "partition_worker": write.partition_worker_concurrency,
        "partition_rate": write.partition_rate_limit,
        "partition_period": write.partition_rate_period_seconds,
        "app": write.app_name,
        "keeps": write.keeps,
    }
    transaction.change(SQL.store_queues, values)
    transaction.change(SQL.grant_running, {"name": write.name})
    return Recorded()


def pause_queue(transaction: Transaction, write: PauseQueue) -> Outcome:
    """Let nothing be claimed from a queue, or let it be claimed again."""
    transaction.change(SQL.pause_queues if write.is_paused else SQL.unpause_queues, {"name": write.name})
    return Recorded() if transaction.rows(SQL.find_queue, {"name": write.name}) else Missing()


def delete_queue(transaction: Transaction, write: DeleteQueue) -> Outcome:
    """Forget a definition."""
    transaction.change(SQL.unpause_queues, {"name": write.name})
    return Recorded() if transaction.change(SQL.delete_queues, {"name": write.name}) else Missing()


KINDS: Kinds = {
    StoreQueue: store_queue,
    PauseQueue: pause_queue,
    DeleteQueue: delete_queue,
}
