"""Schedules as they are declared, what a tick hands to its run, and which ticks are due."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from durust.errors import InvalidArgument
from durust.model.cron import check_cron, instant, milliseconds, next_tick_ms, ticks_between, zone_named
from durust.model.names import NAME_LENGTH_MAX, check_name
from durust.model.records import ScheduleRow
from durust.model.schedule_writes import Tick

# What to do with a tick while an earlier run of its schedule has not ended: start it all the same, leave it out, or let
# it wait for its turn.
OVERLAPS = ("allow", "skip", "queue")
# An id is made of the name, and has room for a time and two words beside it.
NAME_MAX = NAME_LENGTH_MAX - 64
# A tick that is later than this was missed: long beside every pause of a machine that works, short beside a downtime.
GRACE_MS = 60_000
# One transaction starts as many missed ticks as this, and the next one the next: nobody waits long behind it.
CATCH_UP_TICKS = 100
# Ticks come once a second at most.
_GRACE_TICKS = GRACE_MS // 1000 + 1
_UNIX_FIELDS = 5


@dataclass(frozen=True, slots=True)
class ScheduledInput:
    """What a scheduled run is called with: when its tick was due, and what the schedule was made with.

    The time has the offset that the schedule's zone had then. A run that is late, caught up or filled in afterwards
    finds here the time for which it stands.
    """

    scheduled_time: datetime
    context: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDefinition:
    """When a workflow runs by itself, and how. Raises `InvalidArgument` for values that cannot be meant."""

    cron: str
    timezone: str = "UTC"
    catch_up: bool = False
    overlap: str = "allow"
    queue: str | None = None

    def __post_init__(self) -> None:
        """Check each field."""
        check_cron(self.cron)
        zone_named(self.timezone)
        if not isinstance(self.catch_up, bool):
            raise InvalidArgument("catch_up", self.catch_up, "must be True or False")
        if self.overlap not in OVERLAPS:
            raise InvalidArgument("overlap", self.overlap, f"must be one of {', '.join(map(repr, OVERLAPS))}")
        if self.queue is not None:
            check_name("queue", self.queue)
            if self.overlap == "queue":
                wanted = f"needs no queue of its own; set a concurrency of 1 on {self.queue!r} instead"
                raise InvalidArgument("overlap", self.overlap, wanted)


def check_schedule_name(name: object) -> str:
    """Return *name*. Raises `InvalidArgument` for one that no schedule can have."""
    checked = check_name("name", name)
    if len(checked) > NAME_MAX:
        raise InvalidArgument("name", checked[:40] + "...", f"must be at most {NAME_MAX} characters long")
    return checked


@dataclass(frozen=True, slots=True)
class Due:
    """What a schedule asks for now."""

    next_ms: int | None
    """When to look again; None when nothing comes any more."""
    settled_ms: int | None = None
    """How far it is to be settled; None when nothing has changed."""
    ticks: tuple[Tick, ...] = ()
    missed: bool = False
    """Whether ticks are given up."""
    more: bool = False
    """Whether the bound of one transaction left ticks behind."""


def due(row: ScheduleRow, now_ms: int) -> Due:
    """Return which ticks of an ACTIVE schedule are to be fired at *now_ms*, the database's time.

    With catch-up these are all since it was settled, a bounded number at once; without it the latest one, if it is not
    too late. Raises `ValueError` for a row of another library that cannot be understood.
    """
    cron, zone_name = _six_fields(row.cron), row.zone or "UTC"
    if row.settled_ms is None:
        return Due(next_tick_ms(cron, zone_name, now_ms), settled_ms=now_ms)
    first = next_tick_ms(cron, zone_name, row.settled_ms)
    if first is None or first > now_ms:
        return Due(first)
    zone, now = zone_named(zone_name), instant(now_ms)
    if row.catch_up:
        moments = ticks_between(cron, zone, instant(row.settled_ms), now, CATCH_UP_TICKS)
    else:
        since = max(row.settled_ms, now_ms - GRACE_MS)
        moments = ticks_between(cron, zone, instant(since), now, _GRACE_TICKS)[-1:]
    settled_ms = milliseconds(moments[-1]) if moments else now_ms
    ticks = tuple(Tick(tick_id(row.name, moment), utc_text(moment), inputs_of(row, moment)) for moment in moments)
    return Due(
        next_ms=next_tick_ms(cron, zone_name, settled_ms),
        settled_ms=settled_ms,
        ticks=ticks,
        missed=not moments or (not row.catch_up and first != settled_ms),
        more=len(moments) == CATCH_UP_TICKS,
    )


def upcoming(row: ScheduleRow, now_ms: int) -> datetime | None:
    """Return the next tick of a stored schedule, in UTC. Raises `ValueError` like `due`."""
    found = next_tick_ms(_six_fields(row.cron), row.zone or "UTC", now_ms)
    return None if found is None else instant(found)


def moments_between(row: ScheduleRow, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the ticks of a stored schedule after one instant and up to another, at most *limit*."""
    return ticks_between(_six_fields(row.cron), zone_named(row.zone or "UTC"), after, until, limit)


def tick_id(name: str, moment: datetime) -> str:
    """Return the id of a tick's run, `sched-NAME-2026-03-29T01:00:00+00:00`: its time is in UTC, to the second."""
    return f"sched-{name}-{utc_text(moment)}"


def trigger_id(name: str, moment: datetime) -> str:
    """Return the id of a run that was asked for, `sched-NAME-trigger-2026-03-29T01:00:00.123+00:00`, in UTC."""
    return f"sched-{name}-trigger-{moment.astimezone(UTC).isoformat(timespec='milliseconds')}"


def utc_text(moment: datetime) -> str:
    """Write a tick's time in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def inputs_of(row: ScheduleRow, moment: datetime) -> str:
    """Write the arguments of a run: one `ScheduledInput`, as portable JSON, with the context as it is stored.

    Raises `ValueError` for a context that is no JSON: another library wrote it for itself.
    """
    try:
        json.loads(row.context, parse_constant=_refuse)
    except ValueError:
        raise ValueError("its context is no JSON") from None
    local = moment.astimezone(zone_named(row.zone or "UTC")).isoformat()
    return f'{{"positionalArgs":[{{"scheduled_time":"{local}","context":{row.context}}}],"namedArgs":{{}}}}'


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _six_fields(cron: str) -> str:
    # Other libraries leave the second out where it is 0.
    return f"0 {cron}" if len(cron.split()) == _UNIX_FIELDS else cron
