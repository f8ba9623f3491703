"""What engines and clients say of queues: list, set, pause, resume, delete."""

from __future__ import annotations

import asyncio
from typing import TypedDict, Unpack

from durust.model.queues import RateLimiter
from durust.model.records import QueueRow
from durust.queues import Queues
from durust.verbs import Verbs


class QueueLimits(TypedDict, total=False):
    """The limits of a queue that `set_queue` changes, as `WorkflowQueue` has them."""

    worker_concurrency: int | None
    global_concurrency: int | None
    priority_enabled: bool
    rate_limiter: RateLimiter | None
    partition_queue: bool
    partition_concurrency: int | None
    partition_worker_concurrency: int | None
    partition_rate_limiter: RateLimiter | None


class QueueVerbs(Verbs):
    """The verbs that block."""

    def list_queues(self) -> list[QueueRow]:
        """List the stored queues with their limits, by name."""
        return self._queues_of("list_queues").all()

    def get_queue(self, name: str) -> QueueRow:
        """Return a stored queue with its limits. Raises `QueueNotFound`."""
        return self._queues_of("get_queue").get(name)

    def set_queue(self, name: str, **limits: Unpack[QueueLimits]) -> QueueRow:
        """Store a queue, or change those of its limits that are given; None takes one away.

        It counts from the next claim of every worker on. A worker that declares the queue otherwise writes its own
        limits at its launch, unless it says `on_conflict="keep"`. What runs when a queue gets its first limit over all
        executors was claimed without one and is not counted. Raises `InvalidArgument` for limits that cannot be meant.
        """
        return self._queues_of("set_queue").set(name, dict(limits))

    def pause_queue(self, name: str) -> None:
        """Let nothing be claimed from a queue any more; what runs goes on. Raises `QueueNotFound`."""
        self._queues_of("pause_queue").pause(name, is_paused=True)

    def resume_queue(self, name: str) -> None:
        """Let a paused queue be claimed from again, at once. Raises `QueueNotFound`."""
        self._queues_of("resume_queue").pause(name, is_paused=False)

    def delete_queue(self, name: str) -> None:
        """Forget a queue's limits; what waits on it is claimed without any. Raises `QueueNotFound`."""
        self._queues_of("delete_queue").delete(name)

    def _queues_of(self, asked: str) -> Queues:
        footing = self._footing(asked)
        return Queues(footing.provider, footing.settings.app_name)


class AsyncQueueVerbs:
    """The verbs that are awaited."""

    _blocking: QueueVerbs

    async def list_queues(self) -> list[QueueRow]:
        """List the stored queues with their limits, by name."""
        return await asyncio.to_thread(self._blocking.list_queues)

    async def get_queue(self, name: str) -> QueueRow:
        """Return a stored queue with its limits. Raises `QueueNotFound`."""
        return await asyncio.to_thread(self._blocking.get_queue, name)

    async def set_queue(self, name: str, **limits: Unpack[QueueLimits]) -> QueueRow:
        """Store a queue, or change its limits, as the blocking twin does."""
        return await asyncio.to_thread(lambda: self._blocking.set_queue(name, **limits))

    async def pause_queue(self, name: str) -> None:
        """Let nothing be claimed from a queue any more, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.pause_queue, name)

    async def resume_queue(self, name: str) -> None:
        """Let a paused queue be claimed from again, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.resume_queue, name)

    async def delete_queue(self, name: str) -> None:
        """Forget a queue's limits, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.delete_queue, name)
