"""When a cron falls due, in the time of its zone: the only door to croniter.

croniter is asked about wall time alone, without a zone: what it says across a change of the clocks depends on where it
was asked to begin. How wall time and instants belong together is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from durust.errors import InvalidArgument

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_HOURS = 24
# No zone changes its clocks twice within this, so a look at both its ends misses no change.
_STEP = timedelta(hours=6)
_SECOND = timedelta(seconds=1)
# Behind the years in which anything falls due, and far enough from the last that a date can hold.
_YEAR_MAX = 2099
# A fleet has as many schedules as this at most, and each asks for the same tick until it has come.
_NEXT_KEPT = 4096

_VALUE = r"(?:\d{1,2}|[a-z]{3})"
_PART = re.compile(rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d{{1,2}})?", re.ASCII)
_LAST_DAY = re.compile(r"l", re.ASCII)
_WEEKDAY = re.compile(rf"l[0-7]|{_VALUE}#[1-5]", re.ASCII)
_SPECIAL = {"day of month": _LAST_DAY, "day of week": _WEEKDAY}


def check_cron(text: object) -> str:
    """Return *text*, a cron of six fields, second first.

    A field is `*`, a value, a range, or several of them between commas, each with `/step`; months and days of the week
    also by three letters, the last day of a month as `L`, its third Friday as `5#3` and its last one as `L5`. Where
    both the day of the month and that of the week are restricted, a day that fits one of them is enough.

    Raises `InvalidArgument`, which shows the corrected form of a cron of five fields.
    """
    if not isinstance(text, str):
        raise InvalidArgument("schedule", text, f"must be a text of six fields: {', '.join(FIELDS)}")
    fields = text.split()
    if len(fields) == len(FIELDS) - 1:
        raise InvalidArgument("schedule", text, f'has five fields and needs six, the second first: "0 {text}"')
    if len(fields) != len(FIELDS):
        raise InvalidArgument("schedule", text, f"must have six fields ({', '.join(FIELDS)}), as in '0 0 3 * * *'")
    for name, field in zip(FIELDS, fields, strict=True):
        for part in field.lower().split(","):
            if not (_PART.fullmatch(part) or (name in _SPECIAL and _SPECIAL[name].fullmatch(part))):
                raise InvalidArgument("schedule", text, f"its {name} {field!r} is not understood")
    try:
        never = next_tick(text, UTC, datetime(2024, 1, 1, tzinfo=UTC)) is None
    except ValueError as error:
        raise InvalidArgument("schedule", text, f"is not understood: {error}") from None
    if never:
        raise InvalidArgument("schedule", text, "names a day that no year has, so it would never fire")
    return text


def zone_named(name: object) -> tzinfo:
    """Return the time zone of an IANA name. Raises `InvalidArgument` for one that this machine does not know."""
    if name == "UTC":
        return UTC
    try:
        if not isinstance(name, str):
            raise TypeError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        wanted = "must be an IANA name such as 'Europe/Berlin' or 'UTC', and known to this machine"
        raise InvalidArgument("timezone", name, wanted) from None


def next_tick(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first tick after an instant, in the zone's time; None when there is none in this century.

    At a change of the clocks a cron that fires in every hour goes by the clock as it runs: hours that are left out
    have no ticks, and an hour that comes twice has them twice. One that picks its hours fires once for each wall time:
    for those that are left out, once and at the moment of the change; for those that come twice, the first time.
    """
    return next(_ticks(cron, zone, after), None)


def ticks_between(cron: str, zone: tzinfo, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the ticks after one instant and up to another, that one included, in order and at most *limit*."""
    # Instants in one zone are compared by their wall times, which an hour that comes twice makes wrong.
    until = until.astimezone(UTC)
    ticks: list[datetime] = []
    for tick in islice(_ticks(cron, zone, after), limit):
        if tick > until:
            break
        ticks.append(tick)
    return ticks


@lru_cache(_NEXT_KEPT)
def next_tick_ms(cron: str, zone_name: str, after_ms: int) -> int | None:
    """Return `next_tick` in epoch milliseconds, remembered: a schedule is asked for the same tick until it came."""
    tick = next_tick(cron, zone_named(zone_name), instant(after_ms))
    return None if tick is None else milliseconds(tick)


def instant(epoch_ms: int) -> datetime:
    """Return epoch milliseconds as an instant in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)


def milliseconds(moment: datetime) -> int:
    """Return an instant in epoch milliseconds."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _ticks(cron: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Walk from one change of the clocks to the next; between two of them wall time and instants go together.

    *behind* is an instant in UTC behind which the ticks are sought, and *offset* what the zone adds to those instants.
    """
    walls, fires_every_hour = _walls(cron)
    behind = after.astimezone(UTC).replace(microsecond=0)
    offset = _offset(behind, zone)
    while (wall := _next_wall(walls, behind + offset)) is not None:
        tick = wall - offset
        change = _first_change(behind, tick, offset, zone)
        if change is None:
            here = tick.astimezone(zone)
            # The second of two equal wall times; the first was a tick.
            if fires_every_hour or not here.fold:
                yield here
            behind = tick
            continue
        left_out, offset = change + offset, _offset(change, zone)
        if not fires_every_hour and left_out <= wall < change + offset:
            yield change.astimezone(zone)
            behind = change
        else:
            # The wall time that the change begins with may be a tick too.
            behind = change - _SECOND


def _walls(cron: str) -> tuple[Any, bool]:
    """Return what knows the wall times of a cron, and whether it fires in every hour of a day."""
    from croniter import croniter

    known = croniter(cron, datetime(2024, 1, 1), ret_type=datetime, second_at_beginning=True)  # noqa: DTZ001  wall time
    # It keeps the minutes first, wherever the seconds stood.
    hours = known.expanded[1]
    return known, hours == ["*"] or len(set(hours)) == _HOURS


def _next_wall(walls: Any, behind: datetime) -> datetime | None:
    """Return the next wall time; it is written as an instant of UTC, whose clock never changes."""
    from croniter import CroniterBadDateError

    try:
        found: datetime = walls.get_next(start_time=behind.replace(tzinfo=None))
    except CroniterBadDateError:
        return None
    return found.replace(tzinfo=UTC) if found.year <= _YEAR_MAX else None


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _first_change(behind: datetime, until: datetime, offset: timedelta, zone: tzinfo) -> datetime | None:
    """Return the first instant behind one and up to another at which the zone's offset is not *offset* any more."""
    if zone is UTC:
        return None
    early, late = behind, min(behind + _STEP, until)
    while _offset(late, zone) == offset:
        if late >= until:
            return None
        early, late = late, min(late + _STEP, until)
    while late - early > _SECOND:
        middle = (early + (late - early) // 2).replace(microsecond=0)
        if _offset(middle, zone) == offset:
            early = middle
        else:
            late = middle
    return late
