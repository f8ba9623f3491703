"""Every change of a schedule as a frozen value, and the answers that only these can get."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import ScheduleRow

SCHEDULE_QUEUE = "_durust_schedule_queue"
"""Where the runs of schedules wait that must run one after another; each schedule is a partition of it."""


@dataclass(frozen=True, slots=True)
class StoreSchedule:
    """Store a schedule under a name that is free, or with *replaces* in place of the one that has it.

    A replaced one keeps its id, its context, its status, its last tick and how far it is settled, unless its cron or
    zone changes: then it is settled up to now, because what is passed was never due. Answers `Recorded`, or
    `ScheduleExists` with the schedule that has the name and is not replaced: without *replaces* any but this very one,
    stored before; with it only another application's.
    """

    schedule_id: str
    name: str
    workflow: str
    cron: str
    zone: str
    context: str
    catch_up: bool
    overlap: str
    queue: str | None
    app_name: str
    replaces: bool


@dataclass(frozen=True, slots=True)
class PauseSchedule:
    """Stop a schedule from firing. Answers `Recorded` or `Missing`."""

    name: str


@dataclass(frozen=True, slots=True)
class ResumeSchedule:
    """Let a schedule fire again, from now on: the ticks of a pause are settled. Answers `Recorded` or `Missing`.

    One that was not paused keeps its ticks.
    """

    name: str


@dataclass(frozen=True, slots=True)
class DeleteSchedule:
    """Forget a schedule; its runs stay. Answers `Recorded` or `Missing`."""

    name: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One run that a tick of a schedule starts."""

    workflow_id: str
    time: str
    """The tick in ISO 8601, in UTC."""
    inputs: str


@dataclass(frozen=True, slots=True)
class FireTicks:
    """Move a schedule on and start the runs of the ticks passed over, both or neither.

    Only if it stands as it was read: ACTIVE, defined alike and settled as far. So a tick is started once, whoever
    fires. With the overlap `skip` only one run is started, and none while an earlier one has not ended. Where only
    another library has written the schedule so far, it is settled and nothing is started. Answers `Fired` or `Moved`.
    """

    schedule: ScheduleRow
    settled_ms: int
    creator: str
    app_name: str
    """Whose rows the runs are."""
    ticks: tuple[Tick, ...] = ()


def place_of(queue: str | None, overlap: str, name: str) -> tuple[str | None, str | None]:
    """Return the queue and the partition of a schedule's runs; no queue is the internal one."""
    return (SCHEDULE_QUEUE, name) if queue is None and overlap == "queue" else (queue, None)


ScheduleWrite = StoreSchedule | PauseSchedule | ResumeSchedule | DeleteSchedule | FireTicks


@dataclass(frozen=True, slots=True)
class ScheduleExists:
    """Another schedule has the name."""

    row: ScheduleRow


@dataclass(frozen=True, slots=True)
class Fired:
    """A schedule was moved on, and these runs were started; runs that were there already are not named again."""

    workflow_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """The schedule is not as it was read: somebody else fired, paused, replaced or deleted it."""


ScheduleOutcome = ScheduleExists | Fired | Moved
