"""Schedules on SQLite: stored, paused, resumed, and moved on by their ticks, which start runs."""

from __future__ import annotations

from durust.model.schedule_writes import (
    DeleteSchedule,
    Fired,
    FireTicks,
    Moved,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    StoreSchedule,
    place_of,
)
from durust.model.writes import Missing, Outcome, Recorded, StartWorkflow
from durust.storage import rows
from durust.storage.links import Param
from durust.storage.sqlite_statements import PORTABLE, SQL, Kinds, Transaction
from durust.storage.sqlite_writes.starts import start


def store(transaction: Transaction, write: StoreSchedule) -> Outcome:
    """Store a schedule, or tell which one has the name."""
    values: dict[str, Param] = {
        "id": write.schedule_id,
        "name": write.name,
        "workflow": write.workflow,
        "cron": write.cron,
        "zone": write.zone,
        "context": write.context,
        "catch_up": write.catch_up,
        "queue": write.queue,
        "app": write.app_name,
        "replaces": write.replaces,
    }
    transaction.change(SQL.pass_changes, values)
    if transaction.change(SQL.store_schedules, values):
        transaction.change(SQL.settle_schedules, {"name": write.name, "overlap": write.overlap})
        return Recorded()
    stored = rows.schedules(transaction.rows(SQL.list_schedules, {}))
    [standing] = [row for row in stored.rows if row.name == write.name]
    return Recorded() if standing.schedule_id == write.schedule_id else ScheduleExists(standing)


def pause(transaction: Transaction, write: PauseSchedule) -> Outcome:
    """Stop a schedule."""
    return Recorded() if transaction.change(SQL.pause_schedules, {"name": write.name}) else Missing()


def resume(transaction: Transaction, write: ResumeSchedule) -> Outcome:
    """Let a schedule go on from now."""
    transaction.change(SQL.pass_pauses, {"name": write.name})
    return Recorded() if transaction.change(SQL.resume_schedules, {"name": write.name}) else Missing()


def delete(transaction: Transaction, write: DeleteSchedule) -> Outcome:
    """Forget a schedule."""
    transaction.change(SQL.forget_schedules, {"name": write.name})
    return Recorded() if transaction.change(SQL.delete_schedules, {"name": write.name}) else Missing()


def fire(transaction: Transaction, write: FireTicks) -> Outcome:
    """Move a schedule on, and start the runs of its ticks."""
    read = write.schedule
    if read.settled_ms is None:
        adopted = transaction.change(SQL.adopt_schedules, {"id": read.schedule_id, "settled": write.settled_ms})
        return Fired(()) if adopted else Moved()
    values: dict[str, Param] = {
        "id": read.schedule_id,
        "expected": read.settled_ms,
        "workflow": read.workflow,
        "cron": read.cron,
        "zone": read.zone,
        "context": read.context,
        "catch_up": read.catch_up,
        "queue": read.queue,
    }
    found = transaction.rows(SQL.find_fireable, values)
    if not found:
        return Moved()
    [(name, workflow, queue, overlap, is_running)] = found
    place, partition = place_of(queue, overlap, name)
    transaction.change(SQL.fire_ticks, {"id": read.schedule_id, "settled": write.settled_ms})
    ticks = write.ticks if overlap != "skip" else () if is_running else write.ticks[:1]
    started = []
    for tick in ticks:
        run = StartWorkflow(
            workflow_id=tick.workflow_id,
            name=workflow,
            inputs=tick.inputs,
            serialization=PORTABLE,
            creator=write.creator,
            app_name=write.app_name,
            queue=place,
            partition_key=partition,
            schedule_name=name,
        )
        if isinstance(start(transaction, run), Recorded):
            started.append(tick.workflow_id)
    if ticks:
        transaction.change(SQL.note_ticks, {"id": read.schedule_id, "time": max(tick.time for tick in ticks)})
    return Fired(tuple(sorted(started)))


KINDS: Kinds = {
    StoreSchedule: store,
    PauseSchedule: pause,
    ResumeSchedule: resume,
    DeleteSchedule: delete,
    FireTicks: fire,
}
