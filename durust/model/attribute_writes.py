"""What is noted of a workflow beside its history, as frozen values: its attributes, and the role that let it in."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease

SET_ATTRIBUTES_NAME = "DBOS.updateWorkflowAttributes"
"""The canonical name of the record; other tools know it too."""


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Give a workflow the attributes of *patch*, a JSON object, beside those it has; null takes one away.

    Answers `Recorded` or `Missing`. Of two of one batch for one workflow the last one comes last.
    """

    workflow_id: str
    patch: str


@dataclass(frozen=True, slots=True)
class RecordAttributes:
    """Record that a run gave its workflow the attributes of *patch*, and do it. Answers like `RecordStep`."""

    lease: Lease
    after: int | None
    place: int
    patch: str
    started_at_ms: int
    completed_at_ms: int

    @property
    def name(self) -> str:
        """Return the name of its record."""
        return SET_ATTRIBUTES_NAME


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """Note by which role a run was let in. Answers `Recorded` or `Fenced`."""

    lease: Lease
    role: str
