"""Schedules and their ticks on Postgres."""

from __future__ import annotations

from collections.abc import Mapping

from durust.model.schedule_writes import (
    SCHEDULE_QUEUE,
    DeleteSchedule,
    Fired,
    FireTicks,
    Moved,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    StoreSchedule,
)
from durust.model.writes import INTERNAL_QUEUE, Missing
from durust.storage import rows, statements
from durust.storage.columns import Params, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results, stored
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def named(name: str) -> Params:
    """Return the name of a schedule."""
    return {"name": name}


def store_schedules(write: StoreSchedule) -> Params:
    """Return the parameters of a schedule to store."""
    return {
        "id": write.schedule_id,
        "name": write.name,
        "workflow": write.workflow,
        "cron": write.cron,
        "zone": write.zone,
        "context": write.context,
        "catch_up": write.catch_up,
        "overlap": write.overlap,
        "queue": write.queue,
        "app": write.app_name,
        "replaces": write.replaces,
    }


def adopt_schedules(write: FireTicks) -> Params:
    """Return the parameters of a schedule that is settled for the first time."""
    return {"id": write.schedule.schedule_id, "settled": write.settled_ms}


def fire_ticks(write: FireTicks) -> Params:
    """Return the parameters of ticks: the schedule as it was read, how far it is settled then, and the runs."""
    read = write.schedule
    return {
        "id": read.schedule_id,
        "expected": read.settled_ms,
        "workflow": read.workflow,
        "cron": read.cron,
        "zone": read.zone,
        "context": read.context,
        "catch_up": read.catch_up,
        "queue": read.queue,
        "settled": write.settled_ms,
        "creator": write.creator,
        "app": write.app_name,
        "internal": INTERNAL_QUEUE,
        "schedule_queue": SCHEDULE_QUEUE,
        "ids": texts(tick.workflow_id for tick in write.ticks),
        "times": texts(tick.time for tick in write.ticks),
        "inputs": texts(tick.inputs for tick in write.ticks),
    }


def _found(found: Group, results: Results) -> Answers:
    return {index: RECORDED if came_back else Missing() for (index, _), came_back in zip(found, results, strict=True)}


def _firing(writes: list[FireTicks]) -> list[Call]:
    return [
        Call(SQL.adopt_schedules, adopt_schedules(write))
        if write.schedule.settled_ms is None
        else Call(SQL.fire_ticks, fire_ticks(write))
        for write in writes
    ]


def _fired(found: Group, results: Results) -> Answers:
    return {
        index: Fired(tuple(row[1] for row in came_back if row[1:] not in {(), (None,)})) if came_back else Moved()
        for (index, _), came_back in zip(found, results, strict=True)
    }


def _ask(writes: list[StoreSchedule]) -> list[Call]:
    return [Call(SQL.list_schedules)] * len(writes)


def _explain(group: Group, results: Results) -> Answers:
    """Answer which schedule has the name; none when it was deleted meanwhile, and the write is sent again."""
    answers: Answers = {}
    for (index, write), listed in zip(group, results, strict=True):
        for row in rows.schedules(listed).rows:
            if row.name == write.name:
                answers[index] = RECORDED if row.schedule_id == write.schedule_id else ScheduleExists(row)
    return answers


KINDS: Mapping[type, Kind] = {
    StoreSchedule: Kind(
        calls=lambda writes: [Call(SQL.store_schedules, store_schedules(write)) for write in writes],
        read=stored,
        question=Question(calls=_ask, read=_explain),
    ),
    PauseSchedule: Kind(
        calls=lambda writes: [Call(SQL.pause_schedules, named(write.name)) for write in writes], read=_found
    ),
    ResumeSchedule: Kind(
        calls=lambda writes: [Call(SQL.resume_schedules, named(write.name)) for write in writes], read=_found
    ),
    DeleteSchedule: Kind(
        calls=lambda writes: [Call(SQL.delete_schedules, named(write.name)) for write in writes], read=_found
    ),
    FireTicks: Kind(calls=_firing, read=_fired),
}
