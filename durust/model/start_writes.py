"""What starts workflows, as frozen values: at once, debounced, as the child of a run, or as a fork."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease


@dataclass(frozen=True, slots=True)
class StartWorkflow:
    """Insert a workflow: queued, delayed, or (with a lease) running at once under its starter.

    Answers `Recorded`, `Existing` (the id is taken; also by another start of the same `creator`, which is then
    `Recorded` again), `Duplicate` (the deduplication id is taken on that queue) or, with a lease, `Fenced` when the
    executor is not LIVE.
    """

    workflow_id: str
    name: str
    inputs: str | None
    serialization: str
    creator: str
    """Unique for this start: a retry of the same write carries the same one. With a lease it is the lease's token."""
    app_name: str
    queue: str | None = None
    priority: int = 0
    dedup_id: str | None = None
    delay_seconds: float = 0.0
    timeout_ms: int | None = None
    """How long it may run, counted from its first start."""
    deadline_ms: int | None = None
    """The instant at which it is cancelled, in place of a timeout."""
    partition_key: str | None = None
    schedule_name: str | None = None
    parent_id: str | None = None
    authenticated_user: str | None = None
    authenticated_roles: str | None = None
    """A JSON array of names."""
    attributes: str | None = None
    """A JSON object, by which it can be found."""
    app_version: str | None = None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class DebounceWorkflow:
    """Start a workflow some time after the last such write, or hand *start* to the run that waits for that.

    The deduplication id of *start* is the key. A debounced run that waits under it, of this workflow and application,
    takes over all that *start* says, but for its id; then it waits *period_seconds* from now on, and at the latest
    until *limit_seconds* after its first write. When none waits, or its time has come, a new one begins to wait.

    Answers `Recorded` with the id of the run, `Existing` (the id of a new one is taken) or `Duplicate` (the
    deduplication id is held by anything else). The run keeps the creator of its last write, so a repeated one changes
    nothing until another write has come in between.
    """

    start: StartWorkflow
    period_seconds: float
    limit_seconds: float | None = None
    """Counts when a new run begins to wait; later writes do not change its limit."""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Insert a child of a run and link it at its place in the run's history: both, or neither.

    Where a workflow of the child's name has its id already, the link leads to that one; with *attaches* also where one
    of its name holds its deduplication id. Answers `Recorded` with the id that the link leads to, `Existing` (a
    workflow of another name has the id), `Duplicate` (the deduplication id is taken on that queue), `Fenced`,
    `Diverged` or `HistoryLost`.
    """

    lease: Lease
    """That of the parent: no child starts after its parent's cancel has committed."""
    after: int | None
    place: int
    start: StartWorkflow
    """The child, queued under no lease; its parent is the run, whatever stands there."""
    started_at_ms: int
    completed_at_ms: int
    attaches: bool = False


@dataclass(frozen=True, slots=True)
class ForkWorkflow:
    """Queue a new workflow that has what another one recorded before a place: its steps, events and stream entries.

    Of a source that runs it has what stands at that moment. It keeps the source's inputs, version, attributes and
    user, but no deadline, timeout, priority or deduplication id. Answers `Recorded`, also for a repeated write,
    `Existing` when the new id is taken, or `Missing` when there is no source.
    """

    workflow_id: str
    """The source."""
    fork_id: str
    start_place: int
    """The first place that the new workflow comes to without a record."""
    creator: str
    """Unique for this fork: a retry of the same write carries the same one."""
    app_version: str | None = None
    queue: str | None = None
    partition_key: str | None = None
    timeout_ms: int | None = None
    children: tuple[tuple[str, str], ...] = ()
    """Pairs of a child that the source started and the workflow that stands for it in the fork."""
