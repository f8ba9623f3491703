"""Queues and the limits on them, as arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from durust.errors import InvalidArgument
from durust.model.names import check_name


@dataclass(frozen=True, slots=True)
class QueueDefinition:
    """A queue's name and limits.

    `worker_concurrency` is how many of its workflows one process runs at once at most; None leaves that to the
    engine's slots. Raises `InvalidArgument` for a limit below 1.
    """

    name: str
    worker_concurrency: int | None = None

    def __post_init__(self) -> None:
        """Check the name and the limits."""
        check_name("queue", self.name)
        limit = self.worker_concurrency
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InvalidArgument("worker_concurrency", limit, "must be an integer of 1 or more, or None for no limit")

    def wants(self, free: int, running: int) -> int:
        """Return how many more workflows a process with *free* slots may take while it runs *running* of this queue."""
        if self.worker_concurrency is None:
            return free
        return max(0, min(free, self.worker_concurrency - running))
