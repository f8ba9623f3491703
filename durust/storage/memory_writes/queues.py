"""The definitions of queues in memory."""

from __future__ import annotations

from dataclasses import fields, replace

from durust.model.records import QueueRow
from durust.model.status import PENDING
from durust.model.writes import DeleteQueue, Missing, Outcome, PauseQueue, Recorded, StoreQueue
from durust.storage.memory_tables import Grant, Kinds, Tables

_COLUMNS = tuple(spec.name for spec in fields(QueueRow) if spec.name != "is_paused")


def store_queue(tables: Tables, write: StoreQueue) -> Outcome:
    """Store a definition; a queue that is paused stays so."""
    known = tables.queues.get(write.name)
    if known is None or not write.keeps:
        values = {name: getattr(write, name) for name in _COLUMNS}
        tables.queues[write.name] = QueueRow(**values, is_paused=known is not None and known.is_paused)
    _grant_running(tables, tables.queues[write.name])
    return Recorded()


def _grant_running(tables: Tables, queue: QueueRow) -> None:
    """Let what runs already take its share of a budget that is new."""
    for row in tables.workflows.values() if queue.has_budget else ():
        is_running = row.status is PENDING and row.queue == queue.name and row.executor_id in tables.executors
        if not is_running or row.token is None or row.executor_id is None:
            continue
        partition = row.partition_key if queue.has_partition_budget else None
        begun = row.started_at_ms or row.updated_at_ms
        new = Grant(queue.name, partition, row.executor_id, begun, row.workflow_id not in tables.started)
        grant = tables.grants.setdefault(row.token, new)
        if grant.ended_at_ms is None:
            tables.grants[row.token] = replace(grant, partition=partition)


def pause_queue(tables: Tables, write: PauseQueue) -> Outcome:
    """Let nothing be claimed from a queue, or let it be claimed again."""
    if write.name not in tables.queues:
        return Missing()
    tables.queues[write.name] = replace(tables.queues[write.name], is_paused=write.is_paused)
    return Recorded()


def delete_queue(tables: Tables, write: DeleteQueue) -> Outcome:
    """Forget a definition."""
    return Recorded() if tables.queues.pop(write.name, None) else Missing()


KINDS: Kinds = {
    StoreQueue: store_queue,
    PauseQueue: pause_queue,
    DeleteQueue: delete_queue,
}
