"""What changes the definitions of queues, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.queues import QueueDefinition


@dataclass(frozen=True, slots=True)
class StoreQueue:
    """Store a queue's definition, replacing an older one of that name unless it is to be kept. Answers `Recorded`."""

    name: str
    worker_concurrency: int | None
    app_name: str
    global_concurrency: int | None = None
    rate_limit: int | None = None
    rate_period_seconds: float | None = None
    priority_enabled: bool = True
    partition_queue: bool = False
    partition_concurrency: int | None = None
    partition_worker_concurrency: int | None = None
    partition_rate_limit: int | None = None
    partition_rate_period_seconds: float | None = None
    keeps: bool = False

    @classmethod
    def of(cls, queue: QueueDefinition, app_name: str) -> StoreQueue:
        """Return the write that stores a definition as its declaration says."""
        rate, partition_rate = queue.rate_limiter, queue.partition_rate_limiter
        return cls(
            name=queue.name,
            worker_concurrency=queue.worker_concurrency,
            app_name=app_name,
            global_concurrency=queue.global_concurrency,
            rate_limit=rate.limit if rate else None,
            rate_period_seconds=rate.period_seconds if rate else None,
            priority_enabled=queue.priority_enabled,
            partition_queue=queue.partition_queue,
            partition_concurrency=queue.partition_concurrency,
            partition_worker_concurrency=queue.partition_worker_concurrency,
            partition_rate_limit=partition_rate.limit if partition_rate else None,
            partition_rate_period_seconds=partition_rate.period_seconds if partition_rate else None,
            keeps=queue.on_conflict == "keep",
        )


@dataclass(frozen=True, slots=True)
class PauseQueue:
    """Let nothing be claimed from a queue, or let it be claimed again. Answers `Recorded`, or `Missing`."""

    name: str
    is_paused: bool


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    """Forget a queue's definition; what waits on it waits without limits. Answers `Recorded`, or `Missing`."""

    name: str
