"""A workflow as a whole: what is taken out of one database and put into another."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Checkpoint, WorkflowRow


@dataclass(frozen=True, slots=True)
class EventCopy:
    """One value of an event."""

    key: str
    text: str
    serialization: str | None
    place: int | None = None
    """Where it was set; None for the latest value, whatever the history holds."""


@dataclass(frozen=True, slots=True)
class EntryCopy:
    """One entry of a stream."""

    key: str
    offset: int
    text: str
    serialization: str | None
    place: int = 0


@dataclass(frozen=True, slots=True)
class MessageCopy:
    """One message to the workflow, received or not."""

    message_id: str
    topic: str | None
    text: str
    serialization: str | None
    created_at_ms: int
    is_consumed: bool = False
    consumed_by: int | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCopy:
    """A workflow with all that is its own."""

    row: WorkflowRow
    """With its inputs, its output and its error."""
    steps: tuple[Checkpoint, ...] = ()
    """By their places."""
    events: tuple[EventCopy, ...] = ()
    past_events: tuple[EventCopy, ...] = ()
    streams: tuple[EntryCopy, ...] = ()
    messages: tuple[MessageCopy, ...] = ()
    """In their order."""


def order(workflow_id: str, copy: WorkflowCopy) -> tuple[bool, int, str]:
    """Return by what the copies of a family are sorted: first the workflow that was asked for, then by creation."""
    return copy.row.workflow_id != workflow_id, copy.row.created_at_ms, copy.row.workflow_id


@dataclass(frozen=True, slots=True)
class ImportWorkflows:
    """Enter workflows as they are told, all or none.

    Nobody owns them, and they hold no deduplication id. Answers `Recorded`, also for a repeated write, or `Existing`
    with the row of an id that is taken.
    """

    copies: tuple[WorkflowCopy, ...]
    creator: str
    """Unique for this import: a retry of the same write carries the same one."""
