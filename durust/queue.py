"""Queues as their users declare them."""

from __future__ import annotations

from dataclasses import dataclass

from durust.engine.registry import REGISTRY
from durust.model.queues import QueueDefinition


@dataclass(frozen=True, slots=True)
class WorkflowQueue(QueueDefinition):
    """A named queue of workflows; making one declares it for every engine of this process.

    `worker_concurrency` is how many of its workflows one process runs at once at most; None leaves that to the
    engine's slots. Declaring a name again replaces its limits. Raises `InvalidArgument` for a limit below 1.
    """

    def __post_init__(self) -> None:
        """Check the definition and declare it."""
        # Not super(): with slots the class is made anew, and the cell of super() would hold the old one.
        QueueDefinition.__post_init__(self)
        REGISTRY.add_queue(self)
