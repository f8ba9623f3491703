"""What an engine knows of the application: its workflows and its queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from durust.decorators import Workflow, scheduled
from durust.engine.registry import MAX_RECOVERY_ATTEMPTS_DEFAULT, Definition, Registry
from durust.queue import WorkflowQueue


class Registration:
    """What is registered by hand, beside the decorators."""

    _registry: Registry

    def register(
        self,
        name: str,
        fn: Callable[..., Any] | Workflow[Any, Any],
        *,
        max_recovery_attempts: int | None = None,
        serializer: str | None = None,
        schedule: str | None = None,
        timezone: str | None = None,
        catch_up: bool | None = None,
        overlap: str | None = None,
        queue: str | None = None,
        required_roles: Sequence[str] | None = None,
    ) -> Workflow[Any, Any]:
        """Register a workflow by hand, for this engine only.

        Options and errors are those of `durust.workflow`; a decorated one keeps its options where no others are given,
        but not its schedule, which belongs to its own name.
        """
        planned = scheduled(schedule, timezone=timezone, catch_up=catch_up, overlap=overlap, queue=queue)
        attempts = MAX_RECOVERY_ATTEMPTS_DEFAULT if max_recovery_attempts is None else max_recovery_attempts
        if isinstance(fn, Workflow):
            attempts = fn.definition.max_recovery_attempts if max_recovery_attempts is None else attempts
            serializer = serializer or fn.definition.serializer
            required_roles = fn.definition.required_roles if required_roles is None else required_roles
            fn = fn.fn
        return Workflow(self._registry.add(Definition(name, fn, attempts, serializer, planned, required_roles or ())))

    def register_queue(self, queue: WorkflowQueue) -> WorkflowQueue:
        """Declare a queue for this engine."""
        self._registry.add_queue(queue)
        return queue

    def workflow_names(self) -> list[str]:
        """Return the names of the workflows that this engine knows."""
        return self._registry.names()
