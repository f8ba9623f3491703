"""Schedules in memory: stored, paused, resumed, and moved on by their ticks, which start runs."""

from __future__ import annotations

from dataclasses import replace

from durust.model.records import ScheduleRow
from durust.model.schedule_writes import (
    DeleteSchedule,
    Fired,
    FireTicks,
    Moved,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    StoreSchedule,
    Tick,
    place_of,
)
from durust.model.status import INITIAL
from durust.model.writes import Missing, Outcome, Recorded, StartWorkflow
from durust.storage.memory_tables import PORTABLE, Kinds, Tables
from durust.storage.memory_writes.starts import start


def store(tables: Tables, write: StoreSchedule) -> Outcome:
    """Store a schedule, or tell which one has the name."""
    standing = tables.schedules.get(write.name)
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
    settled_ms = old.settled_ms or tables.now_ms
    tables.schedules[write.name] = replace(
        old,
        workflow=write.workflow,
        cron=write.cron,
        zone=write.zone,
        catch_up=write.catch_up,
        queue=write.queue,
        app_name=write.app_name,
        overlap=write.overlap,
        settled_ms=max(settled_ms, tables.now_ms) if is_changed else settled_ms,
    )
    return Recorded()


def pause(tables: Tables, write: PauseSchedule) -> Outcome:
    """Stop a schedule."""
    return _change(tables, write.name, status="PAUSED")


def resume(tables: Tables, write: ResumeSchedule) -> Outcome:
    """Let a schedule go on from now."""
    row = tables.schedules.get(write.name)
    if row is None or row.status == "ACTIVE":
        return _change(tables, write.name)
    return _change(tables, write.name, status="ACTIVE", settled_ms=max(row.settled_ms or 0, tables.now_ms))


def delete(tables: Tables, write: DeleteSchedule) -> Outcome:
    """Forget a schedule."""
    return Missing() if tables.schedules.pop(write.name, None) is None else Recorded()


def fire(tables: Tables, write: FireTicks) -> Outcome:
    """Move a schedule on, and start the runs of its ticks."""
    read = write.schedule
    row = tables.schedules.get(read.name)
    if row is None or (row.schedule_id, row.settled_ms) != (read.schedule_id, read.settled_ms):
        return Moved()
    if row.settled_ms is None:
        _change(tables, row.name, settled_ms=write.settled_ms)
        return Fired(())
    if row.status != "ACTIVE" or row.definition != read.definition:
        return Moved()
    ticks = write.ticks
    if row.overlap == "skip":
        runs = tables.workflows.values()
        is_running = any(run.schedule_name == row.name and run.status in INITIAL for run in runs)
        ticks = () if is_running else ticks[:1]
    last = max((tick.time for tick in ticks), default=row.last_fired_at)
    _change(tables, row.name, settled_ms=write.settled_ms, last_fired_at=last)
    started = [
        tick.workflow_id for tick in ticks if isinstance(start(tables, _run(write, tick, row.overlap)), Recorded)
    ]
    return Fired(tuple(sorted(started)))


def _change(tables: Tables, name: str, **columns: object) -> Outcome:
    if name not in tables.schedules:
        return Missing()
    tables.schedules[name] = replace(tables.schedules[name], **columns)  # type: ignore[arg-type]  # columns by name
    return Recorded()


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


KINDS: Kinds = {
    StoreSchedule: store,
    PauseSchedule: pause,
    ResumeSchedule: resume,
    DeleteSchedule: delete,
    FireTicks: fire,
}
