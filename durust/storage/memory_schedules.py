"""What each write of a schedule does to the rows of the memory provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import assert_never

from durust.model.records import ScheduleRow, WorkflowRow
from durust.model.schedule_writes import (
    DeleteSchedule,
    Fired,
    FireTicks,
    Moved,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    ScheduleWrite,
    StoreSchedule,
    Tick,
    place_of,
)
from durust.model.status import INITIAL
from durust.model.writes import Missing, Outcome, Recorded, StartWorkflow

# What the runs' arguments are written in, whoever fires: the canonical name of plain JSON.
PORTABLE = "portable_json"

Start = Callable[[StartWorkflow], Outcome]


@dataclass(slots=True)
class ScheduleTable:
    """The schedules by their names. Whoever calls holds the provider's lock."""

    rows: dict[str, ScheduleRow] = field(default_factory=dict)

    def all(self) -> tuple[ScheduleRow, ...]:
        """Return all schedules by their ids."""
        return tuple(sorted(self.rows.values(), key=lambda row: row.schedule_id))

    def apply(self, write: ScheduleWrite, now_ms: int, runs: Iterable[WorkflowRow], start: Start) -> Outcome:
        """Do what one write asks for, whole or not at all; *runs* are all workflows, *start* starts another."""
        match write:
            case StoreSchedule():
                return self._store(write, now_ms)
            case PauseSchedule(name):
                return self._change(name, status="PAUSED")
            case ResumeSchedule(name):
                row = self.rows.get(name)
                if row is None or row.status == "ACTIVE":
                    return self._change(name)
                return self._change(name, status="ACTIVE", settled_ms=max(row.settled_ms or 0, now_ms))
            case DeleteSchedule(name):
                return Missing() if self.rows.pop(name, None) is None else Recorded()
            case FireTicks():
                return self._fire(write, runs, start)
            case _:
                assert_never(write)

    def _store(self, write: StoreSchedule, now_ms: int) -> Outcome:
        standing = self.rows.get(write.name)
        is_mine = standing is not None and standing.app_name in {None, write.app_name}
        if standing is not None and not (write.replaces and is_mine):
            return Recorded() if standing.schedule_id == write.schedule_id else ScheduleExists(standing)
        old = standing or ScheduleRow(
            schedule_id=write.schedule_id,
            name=write.name,
            workflow=write.workflow,
            cron=write.cron,
            zone=write.zone,
            context=write.context,
            status="ACTIVE",
            catch_up=write.catch_up,
            queue=write.queue,
            app_name=write.app_name,
            last_fired_at=None,
        )
        is_changed = (old.cron, old.zone or "UTC") != (write.cron, write.zone)
        self.rows[write.name] = replace(
            old,
            workflow=write.workflow,
            cron=write.cron,
            zone=write.zone,
            catch_up=write.catch_up,
            queue=write.queue,
            app_name=write.app_name,
            overlap=write.overlap,
            settled_ms=max(old.settled_ms or now_ms, now_ms) if is_changed else old.settled_ms or now_ms,
        )
        return Recorded()

    def _change(self, name: str, **columns: object) -> Outcome:
        if name not in self.rows:
            return Missing()
        self.rows[name] = replace(self.rows[name], **columns)  # type: ignore[arg-type]  # columns by name
        return Recorded()

    def _fire(self, write: FireTicks, runs: Iterable[WorkflowRow], start: Start) -> Outcome:
        read = write.schedule
        row = self.rows.get(read.name)
        if row is None or (row.schedule_id, row.settled_ms) != (read.schedule_id, read.settled_ms):
            return Moved()
        if row.settled_ms is None:
            self._change(row.name, settled_ms=write.settled_ms)
            return Fired(())
        if row.status != "ACTIVE" or row.definition != read.definition:
            return Moved()
        ticks = write.ticks
        if row.overlap == "skip":
            is_running = any(run.schedule_name == row.name and run.status in INITIAL for run in runs)
            ticks = () if is_running else ticks[:1]
        last = max((tick.time for tick in ticks), default=row.last_fired_at)
        self._change(row.name, settled_ms=write.settled_ms, last_fired_at=last)
        started = [tick.workflow_id for tick in ticks if isinstance(start(_run(write, tick, row.overlap)), Recorded)]
        return Fired(tuple(sorted(started)))


def _run(write: FireTicks, tick: Tick, overlap: str) -> StartWorkflow:
    queue, partition = place_of(write.schedule.queue, overlap, write.schedule.name)
    return StartWorkflow(
        workflow_id=tick.workflow_id,
        name=write.schedule.workflow,
        inputs=tick.inputs,
        serialization=PORTABLE,
        creator=write.creator,
        app_name=write.app_name,
        queue=queue,
        partition_key=partition,
        schedule_name=write.schedule.name,
    )
