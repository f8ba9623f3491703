"""Which attempt of which step is running."""

from __future__ import annotations

from dataclasses import dataclass


# Not frozen, though nobody changes it: one is made for each attempt of each step.
@dataclass(slots=True)
class StepStatus:
    """The attempt of a step that runs right now, as its own function sees it."""

    workflow_id: str
    place: int
    """The number of the step in its workflow, from 1."""
    name: str
    attempt: int
    """Which attempt this is, from 1; the count begins anew in each execution of the workflow."""
    max_attempts: int

    @property
    def key(self) -> str:
        """Return what names this step and no other, the same in each attempt and each execution.

        Given to another service as its idempotency key, it lets that service do once what is asked for twice.
        """
        return f"{self.workflow_id}-{self.place}"
