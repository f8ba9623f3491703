"""The rows of the memory provider, and the moves of a workflow's row that several writes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from durust.model.filters import Scope
from durust.model.records import Checkpoint, ExecutorRow, Lease, QueueRow, ScheduleRow, WorkflowRow
from durust.model.status import Event, move
from durust.model.waits import StoredValue, StreamEntry
from durust.model.writes import INTERNAL_QUEUE, Outcome, Wait

# What durust's own records are written in: the canonical name of plain JSON.
PORTABLE = "portable_json"
# What the column holds at most: a timeout that leads past it ends there.
_INT8_MAX = 2**63 - 1


@dataclass(slots=True)
class Executor:
    """An executor's row beside its lease."""

    row: ExecutorRow
    lease_until: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A claim's share of its queue's budget."""

    queue: str
    partition: str | None
    executor_id: str
    granted_at_ms: int
    is_start: bool
    ended_at_ms: int | None = None


@dataclass(slots=True)
class Version:
    """A registered version."""

    app_name: str
    name: str
    promoted_at_ms: int
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way, or one that was received."""

    message_id: str
    destination: str
    topic: str
    text: str
    serialization: str | None
    created_at_ms: int
    consumed_by: int | None = None
    """The place at which it was received; None while it waits."""


@dataclass(slots=True)
class Tables:
    """Every row, by its key. Whoever calls holds the provider's lock."""

    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    history: dict[str, dict[int, Checkpoint]] = field(default_factory=dict)
    waits: dict[str, tuple[Wait, ...]] = field(default_factory=dict)
    executors: dict[str, Executor] = field(default_factory=dict)
    queues: dict[str, QueueRow] = field(default_factory=dict)
    debounced: dict[str, int | None] = field(default_factory=dict)
    """The debounced workflows, each with the instant until which it waits at the latest."""
    messages: dict[str, Message] = field(default_factory=dict)
    """By their ids, in the order in which they were sent."""
    events: dict[str, dict[str, StoredValue]] = field(default_factory=dict)
    """By workflow and key: the latest value."""
    event_history: dict[str, dict[tuple[int, str], StoredValue]] = field(default_factory=dict)
    """By workflow, place and key: each value that was set."""
    streams: dict[str, dict[str, list[StreamEntry]]] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    """The workflows that were started under a budget; when they go on they do not start again."""
    schedules: dict[str, ScheduleRow] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    version_workflows: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By application and version: what version each of its workflows has."""
    now_ms: int = 0
    """The moment of the transaction under way: one for all its writes, so that rows of one batch tie."""

    def state(self, executor_id: str) -> str | None:
        """Return an executor's state, or None for one that never registered."""
        executor = self.executors.get(executor_id)
        return executor.row.state if executor else None

    def move(self, workflow_id: str, event: Event, **changes: object) -> WorkflowRow:
        """Move a row to the state that *event* leads to, with other columns changed beside it."""
        row = self.workflows[workflow_id]
        moved = replace(row, status=move(row.status, event), **changes)  # type: ignore[arg-type]  # columns by name
        self.workflows[workflow_id] = moved
        return moved

    def disown(self, workflow_id: str, event: Event, **changes: object) -> WorkflowRow:
        """Move a row that belongs to nobody from now on; it goes to its queue, or to the internal one."""
        queue = self.workflows[workflow_id].queue or INTERNAL_QUEUE
        return self.move(workflow_id, event, queue=queue, executor_id=None, token=None, started_at_ms=None, **changes)

    def unwind(self, lease: Lease, event: Event) -> WorkflowRow:
        """Take a run off its owner by the owner's own will, which costs no attempt."""
        attempts = self.workflows[lease.workflow_id].attempts - 1
        return self.disown(lease.workflow_id, event, attempts=attempts, updated_at_ms=self.now_ms)

    def call_off(self, workflow_id: str, event: Event) -> None:
        """Cancel a workflow; it keeps its queue and its deadline, which tell a resume and a reader about it."""
        self.waits.pop(workflow_id, None)
        self.move(
            workflow_id,
            event,
            executor_id=None,
            token=None,
            dedup_id=None,
            started_at_ms=None,
            delay_until_ms=None,
            completed_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )

    def fall_due(self, workflow_id: str) -> WorkflowRow:
        """Queue a delayed row; it waits for nothing any more, and a debounced one leaves its key to the next."""
        self.waits.pop(workflow_id, None)
        dedup_id = None if workflow_id in self.debounced else self.workflows[workflow_id].dedup_id
        return self.move(workflow_id, Event.DUE, delay_until_ms=None, dedup_id=dedup_id, updated_at_ms=self.now_ms)

    def forget(self, workflow_id: str) -> None:
        """Remove a workflow with all that is its own."""
        own = (self.workflows, self.history, self.waits, self.debounced, self.events, self.event_history, self.streams)
        for table in own:
            table.pop(workflow_id, None)
        self.messages = {key: one for key, one in self.messages.items() if one.destination != workflow_id}
        self.started.discard(workflow_id)


Kinds = Mapping[type, Callable[[Tables, Any], Outcome]]
"""What each kind of write does to the rows, and answers."""


def is_in(scope: Scope, row: WorkflowRow) -> bool:
    """Tell whether a row is one of those that are meant."""
    return row.app_name == scope.app_name or (row.app_name is None and row.name in scope.names)


def bare(row: WorkflowRow, *, inputs: bool = False, outputs: bool = False) -> WorkflowRow:
    """Return *row* as a list shows it: with its values only where they were asked for."""
    return replace(
        row,
        inputs=row.inputs if inputs else None,
        output=row.output if outputs else None,
        error=row.error if outputs else None,
    )


def deadline(standing_ms: int | None, timeout_ms: int | None, now_ms: int) -> int | None:
    """Return the deadline of a run that starts now: the one it has already, or what its timeout says if earlier."""
    if timeout_ms is None:
        return standing_ms
    until_ms = min(now_ms + timeout_ms, _INT8_MAX)
    return until_ms if standing_ms is None else min(standing_ms, until_ms)
