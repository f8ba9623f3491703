"""Orders to a workflow, whoever runs it, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CancelWorkflow:
    """Cancel a workflow, wherever it is; whoever runs it learns it from its next write.

    It keeps its queue, so that a resume knows where it belongs. Answers `Recorded`, `Missing`, or `Existing` when it
    has ended already.

    With *children*, also what it started, what these started, and so on, whether it has ended itself or not, until none
    is left that may start another. Answers `CalledOff` or `Missing`.
    """

    workflow_id: str
    children: bool = False


@dataclass(frozen=True, slots=True)
class ResumeWorkflow:
    """Queue a workflow again that was cancelled, set aside or is delayed: without a deadline, its attempts forgotten.

    A timeout counts anew from the next claim. Answers `Recorded`, `Missing`, or `Existing` when it is queued, runs or
    has a result.
    """

    workflow_id: str
    queue: str | None = None
    """Where it is queued, in place of where it was."""


@dataclass(frozen=True, slots=True)
class SetDelay:
    """Let a delayed workflow be due *delay_seconds* after the database's time; 0 queues it at once.

    Answers `Recorded` (also where it is queued and 0 was asked for), `Existing` for a row that is not delayed, or whose
    run is parked and waits for something else than a delay, or `Missing`. Of two of one batch for one workflow either
    may come first.
    """

    workflow_id: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class DeleteWorkflow:
    """Remove a workflow, whatever it does, with all that is its own; a run of it is refused its next write.

    What it holds of its queue's budget ends when its body does. Answers `Recorded`, or `Missing`.
    """

    workflow_id: str
