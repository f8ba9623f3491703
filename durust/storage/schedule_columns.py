"""Writes of schedules turned into the parameters of Postgres's statements."""

from __future__ import annotations

from durust.model.schedule_writes import SCHEDULE_QUEUE, FireTicks, StoreSchedule
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.columns import Params, texts


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
