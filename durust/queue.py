"""Queues as their users declare them."""

from __future__ import annotations

from dataclasses import dataclass

from durust.engine.registry import REGISTRY
from durust.errors import InvalidArgument
from durust.model.queues import QueueDefinition
from durust.model.schedule_writes import SCHEDULE_QUEUE
from durust.model.writes import INTERNAL_QUEUE


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowQueue(QueueDefinition):
    """A named queue of workflows; making one declares it for every engine of this process.

    Its limits are those of `QueueDefinition`: `worker_concurrency` for one process, `global_concurrency` and
    `rate_limiter` over all executors, and those of a `partition_queue` for each partition key. They are stored when an
    engine that knows the queue is launched, and the stored ones count: a change takes effect at the next claim of every
    worker. Declaring a name again replaces its limits. Raises `InvalidArgument` for limits that cannot be meant.
    """

    def __post_init__(self) -> None:
        """Check the definition and declare it."""
        # Not super(): with slots the class is made anew, and the cell of super() would hold the old one.
        QueueDefinition.__post_init__(self)
        if self.name in {INTERNAL_QUEUE, SCHEDULE_QUEUE}:
            raise InvalidArgument("queue", self.name, "belongs to durust, so it cannot be declared; use another name")
        REGISTRY.add_queue(self)
