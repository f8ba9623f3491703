"""Queue definitions in the database: read, changed, paused and removed, by an engine or a client."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from durust.errors import InvalidArgument, QueueNotFound
from durust.model.names import check_name
from durust.model.queues import QueueDefinition, RateLimiter
from durust.model.records import QueueRow
from durust.model.schedule_writes import SCHEDULE_QUEUE
from durust.model.writes import INTERNAL_QUEUE, DeleteQueue, Missing, PauseQueue, Refused, StoreQueue, Write
from durust.storage.provider import Hint, StateProvider


class Queues:
    """Administers the queues of a database. Each change takes effect at the next claim of every worker."""

    def __init__(self, provider: StateProvider, app_name: str) -> None:
        self._provider, self._app_name = provider, app_name

    def all(self) -> list[QueueRow]:
        """Return the stored queues by name."""
        return self._provider.queues()

    def get(self, name: str) -> QueueRow:
        """Return one stored queue. Raises `QueueNotFound`."""
        rows = self._provider.queues()
        for row in rows:
            if row.name == name:
                return row
        raise QueueNotFound(name, tuple(row.name for row in rows))

    def set(self, name: str, limits: dict[str, Any]) -> QueueRow:
        """Store a queue, or change those of its limits that are given; None takes a limit away.

        Raises `InvalidArgument` for limits that cannot be meant, and for names that are no limit.
        """
        stored = next((row for row in self._provider.queues() if row.name == name), None)
        standing = QueueDefinition(name) if stored is None else definition_of(stored)
        for given in limits:
            if given not in _LIMITS:
                raise InvalidArgument("limit", given, f"must be one of {', '.join(_LIMITS)}")
        self._commit(name, StoreQueue.of(replace(standing, **limits), self._app_name))
        return self.get(name)

    def pause(self, name: str, *, is_paused: bool) -> None:
        """Let nothing be claimed from a queue, or let it be claimed from again. Raises `QueueNotFound`."""
        self._commit(name, PauseQueue(name, is_paused))

    def delete(self, name: str) -> None:
        """Forget a queue's definition; what waits on it is claimed without limits. Raises `QueueNotFound`."""
        self._commit(name, DeleteQueue(name))

    def _commit(self, name: str, write: Write) -> None:
        check_name("queue", name)
        if name == INTERNAL_QUEUE:
            raise InvalidArgument("queue", name, "belongs to durust, which recovers workflows by it")
        if name == SCHEDULE_QUEUE and not isinstance(write, PauseQueue):
            raise InvalidArgument("queue", name, "belongs to durust, whose limits let schedules run in turn")
        with closing(self._provider.writer()) as writer:
            [outcome] = writer.commit([write])
        if isinstance(outcome, Missing):
            raise QueueNotFound(name, tuple(row.name for row in self._provider.queues()))
        if isinstance(outcome, Refused):
            raise InvalidArgument("queue", name, f"the database refused it: {outcome.reason}")
        # Whoever waits because of an old limit, or of the pause, looks again.
        self._provider.announce([Hint("queue", name)])


_LIMITS = (
    "worker_concurrency",
    "global_concurrency",
    "priority_enabled",
    "rate_limiter",
    "partition_queue",
    "partition_concurrency",
    "partition_worker_concurrency",
    "partition_rate_limiter",
)


def definition_of(row: QueueRow) -> QueueDefinition:
    """Return a stored queue as a definition. Raises `InvalidArgument` for one that another library stored otherwise."""
    return QueueDefinition(
        row.name,
        worker_concurrency=row.worker_concurrency,
        global_concurrency=row.global_concurrency,
        priority_enabled=row.priority_enabled,
        rate_limiter=_limiter(row.rate_limit, row.rate_period_seconds),
        partition_queue=row.partition_queue,
        partition_concurrency=row.partition_concurrency,
        partition_worker_concurrency=row.partition_worker_concurrency,
        partition_rate_limiter=_limiter(row.partition_rate_limit, row.partition_rate_period_seconds),
    )


def _limiter(limit: int | None, period_seconds: float | None) -> RateLimiter | None:
    return None if limit is None or period_seconds is None else RateLimiter(limit, period_seconds)
