"""What stands in the database, as frozen values that a reader may keep."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.status import Status


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one run to write: granted by one claim, void as soon as the row carries another token."""

    workflow_id: str
    executor_id: str
    token: str
    has_grant: bool = False
    """Whether the claim took a share of its queue's budget, which ends with the run."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One recorded step: what stands at a place of a workflow's history. Times are epoch milliseconds."""

    place: int
    name: str
    output: str | None = None
    error: str | None = None
    serialization: str | None = None
    child_id: str | None = None
    started_at_ms: int | None = None
    completed_at_ms: int | None = None
    claim: str | None = None
    """The token that wrote the row; None where another library wrote it."""


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One workflow as the database holds it. Times are epoch milliseconds of the database's clock."""

    workflow_id: str
    name: str
    status: Status
    queue: str | None
    priority: int
    dedup_id: str | None
    executor_id: str | None
    token: str | None
    creator: str | None
    app_name: str | None
    app_version: str | None
    attempts: int
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int | None
    completed_at_ms: int | None
    delay_until_ms: int | None
    timeout_ms: int | None
    deadline_ms: int | None
    partition_key: str | None
    schedule_name: str | None
    parent_id: str | None
    """The workflow that started this one as its child."""
    authenticated_user: str | None
    authenticated_roles: str | None
    """A JSON array of names."""
    assumed_role: str | None
    """The role by which it was let in, where it demands one."""
    attributes: str | None
    """A JSON object, by which it can be found."""
    forked_from: str | None
    """The workflow whose recorded steps this one began with."""
    was_forked_from: bool
    serialization: str | None
    inputs: str | None = None
    """Loaded only when the query asks for inputs."""
    output: str | None = None
    """Loaded only when the query asks for outputs."""
    error: str | None = None
    """Loaded only when the query asks for outputs."""

    @property
    def is_timed_out(self) -> bool:
        """Tell whether the workflow was cancelled at its deadline, or after it."""
        if self.status is not Status.CANCELLED or self.deadline_ms is None:
            return False
        return self.completed_at_ms is not None and self.completed_at_ms >= self.deadline_ms


@dataclass(frozen=True, slots=True)
class ExecutorRow:
    """One executor: one incarnation of one process."""

    executor_id: str
    supervisor_id: str
    host: str
    boot_id: str
    pid_ns: str
    pid: int
    pid_started: float
    """When the process started, in seconds as psutil tells it; with the pid it names one process of a boot."""
    app_name: str
    app_version: str | None
    state: str
    """LIVE, DRAINING or DEAD."""
    registered_at_ms: int
    ended_at_ms: int | None
    why: str | None
    lease_seconds_left: float
    """What is left of the lease on the provider's own clock; negative once it lapsed."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of an application. Times are epoch milliseconds; the latest is the one that was promoted last."""

    name: str
    promoted_at_ms: int
    created_at_ms: int
    executors: int
    """How many LIVE executors run it."""
    workflows: tuple[tuple[str, str], ...]
    """The names of its workflows, each with the version of its own code."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One stored queue definition; None is no limit."""

    name: str
    worker_concurrency: int | None = None
    global_concurrency: int | None = None
    rate_limit: int | None = None
    rate_period_seconds: float | None = None
    priority_enabled: bool = True
    partition_queue: bool = False
    partition_concurrency: int | None = None
    partition_worker_concurrency: int | None = None
    partition_rate_limit: int | None = None
    partition_rate_period_seconds: float | None = None
    app_name: str | None = None
    is_paused: bool = False

    @property
    def has_budget(self) -> bool:
        """Tell whether a claim from this queue has to count what others took from it."""
        return self.has_partition_budget or any(
            limit is not None for limit in (self.global_concurrency, self.rate_limit)
        )

    @property
    def has_partition_budget(self) -> bool:
        """Tell whether it has to count for each partition by itself."""
        limits = (self.partition_concurrency, self.partition_worker_concurrency, self.partition_rate_limit)
        return self.partition_queue and any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message to a workflow, as the database holds it."""

    message_id: str
    destination_id: str
    topic: str | None
    """None for a message without a topic."""
    text: str
    serialization: str | None
    created_at_ms: int
    is_consumed: bool = False
    consumed_by: int | None = None
    """The place of the receiver's record; None where another library consumed it without a word."""


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One stored schedule, as this library or another one left it."""

    schedule_id: str
    name: str
    workflow: str
    cron: str
    zone: str | None
    """The IANA name of the time zone; None for UTC."""
    context: str
    """A text of JSON where durust wrote it."""
    status: str
    """ACTIVE or PAUSED."""
    catch_up: bool
    queue: str | None
    app_name: str | None
    last_fired_at: str | None
    """The last tick that fired, in ISO 8601."""
    overlap: str = "allow"
    settled_ms: int | None = None
    """The instant up to which every tick is fired or given up; None where only another library has written."""

    @property
    def definition(self) -> tuple[str, str, str | None, str, bool, str | None]:
        """Return what its ticks and their runs are made of."""
        return self.workflow, self.cron, self.zone, self.context, self.catch_up, self.queue


@dataclass(frozen=True, slots=True)
class StoredSchedules:
    """All stored schedules, and the database's time when they were read."""

    now_ms: int
    rows: tuple[ScheduleRow, ...]
