"""The ceiling: the rows that durust writes, written by bare SQL that promises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Manner:
    """One way to write in batches."""

    method: str
    batch: int
    """Workflows in a transaction."""

    def __str__(self) -> str:
        return f"{self.method}, {self.batch} workflows a commit"


class BareWriter(Protocol):
    """A connection that writes what the run of a queued workflow writes, and nothing reads it back."""

    manners: Sequence[Manner]
    """The ways that are worth trying, since the ceiling is the best of them."""

    def run(self, workflow_ids: Sequence[str], steps: int, manner: Manner) -> float:
        """Claim, record and finish queued workflows; return the seconds that the database took."""

    def record_one_by_one(self, workflow_id: str, steps: int) -> float:
        """Record the steps of one workflow, each in a commit of its own; return the seconds of all."""

    def round_trip(self, workflow_id: str) -> float:
        """Enqueue, claim, record and finish a workflow of one step, each in a commit of its own; return the seconds."""

    def close(self) -> None:
        """Close the connection."""


def batches(workflow_ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut *workflow_ids* into batches."""
    for start in range(0, len(workflow_ids), size):
        yield workflow_ids[start : start + size]
