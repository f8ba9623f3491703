"""When a cron falls due: the tables of both changes of the clocks, and a comparison with every minute of a zone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from durust.errors import InvalidArgument
from durust.model.cron import check_cron, instant, milliseconds, next_tick, ticks_between, zone_named

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# A moment shortly before a change of the clocks: by one hour, by half an hour, by two, at midnight, with a winter time
# that counts as the exception, twice within a month, and by a day that a whole country left out.
CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2027, 3, 14, 7, tzinfo=UTC), datetime(2027, 11, 7, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2027, 4, 3, 15, tzinfo=UTC)),
    "Antarctica/Troll": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/Havana": (datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)),
    "Europe/Dublin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Africa/Casablanca": (datetime(2026, 2, 15, 2, tzinfo=UTC), datetime(2026, 3, 22, 2, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC),),
    "UTC": (datetime(2026, 3, 1, tzinfo=UTC),),
}


def walls(cron: str, zone: ZoneInfo, since: str, count: int) -> list[str]:
    """Return so many ticks after a wall time, as texts without their seconds."""
    tick: datetime | None = datetime.fromisoformat(since).replace(tzinfo=zone)
    found = []
    for _ in range(count):
        assert tick is not None
        tick = next_tick(cron, zone, tick)
        assert tick is not None
        found.append(f"{tick:%d %H:%M}{tick:%z}"[:-2])
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "since", "ticks"),
    [
        # What the gap leaves out fires once, at the moment of the change.
        ("0 30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+02", "30 02:30+02"]),
        ("0 */10 2 * * *", BERLIN, "2026-03-29T00:00", ["29 03:00+02", "30 02:00+02"]),
        ("0 0 2,3 * * *", BERLIN, "2026-03-29T00:00", ["29 03:00+02", "30 02:00+02"]),
        ("0 0,30 2,3 * * *", BERLIN, "2026-03-29T00:00", ["29 03:00+02", "29 03:30+02", "30 02:00+02"]),
        ("0 30 2 * * *", NEW_YORK, "2027-03-13T12:00", ["14 03:00-04", "15 02:30-04"]),
        # What comes twice fires the first time.
        ("0 30 2 * * *", BERLIN, "2026-10-25T00:00", ["25 02:30+02", "26 02:30+01"]),
        ("0 30 1 * * *", NEW_YORK, "2027-11-07T00:00", ["07 01:30-04", "08 01:30-05"]),
        ("0 */30 2 * * *", BERLIN, "2026-10-25T00:00", ["25 02:00+02", "25 02:30+02", "26 02:00+01"]),
        # A cron that fires in every hour goes by the clock as it runs.
        ("0 0 * * * *", BERLIN, "2026-03-29T00:30", ["29 01:00+01", "29 03:00+02", "29 04:00+02"]),
        ("0 30 */1 * * *", BERLIN, "2026-03-29T01:00", ["29 01:30+01", "29 03:30+02"]),
        ("0 0 * * * *", BERLIN, "2026-10-25T01:30", ["25 02:00+02", "25 02:00+01", "25 03:00+01"]),
        ("0 */30 * * * *", NEW_YORK, "2027-11-07T01:00", ["07 01:30-04", "07 01:00-05", "07 01:30-05", "07 02:00-05"]),
        # Nothing else moves.
        ("0 0 3 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+02", "30 03:00+02"]),
        ("0 0 3 * * *", BERLIN, "2026-10-24T12:00", ["25 03:00+01", "26 03:00+01"]),
        ("0 10 3 * * 0", BERLIN, "2026-10-19T12:00", ["25 03:10+01", "01 03:10+01"]),
    ],
)
def test_a_tick_around_a_change_of_the_clocks(cron: str, zone: ZoneInfo, since: str, ticks: list[str]) -> None:
    assert walls(cron, zone, since, len(ticks)) == ticks


@pytest.mark.parametrize("changed", [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)])
def test_a_cron_of_every_second_goes_on_through_both_changes(changed: datetime) -> None:
    begin, end = changed - 90 * MINUTE, changed + 90 * MINUTE

    ticks = ticks_between("* * * * * *", BERLIN, begin, end, 100_000)

    assert [milliseconds(tick) for tick in ticks] == [milliseconds(begin) + 1000 * n for n in range(1, 10_801)]


def test_an_end_inside_an_hour_that_comes_twice_is_an_instant_and_no_wall_time() -> None:
    begin = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN)
    end = datetime(2026, 10, 25, 2, 5, tzinfo=BERLIN, fold=1)

    ticks = ticks_between("0 */10 * * * *", BERLIN, begin, end, 100)

    assert [tick.isoformat()[11:22] for tick in ticks] == [
        "02:20:00+02",
        "02:30:00+02",
        "02:40:00+02",
        "02:50:00+02",
        "02:00:00+01",
    ]


def some_field(lowest: int, highest: int, dice: random.Random, names: tuple[str, ...] = ()) -> tuple[str, set[int]]:
    """Return a field and what it stands for."""
    everything = range(lowest, highest + 1)
    match dice.choice(["*", "*", "step", "one", "range", "list"]):
        case "*":
            return "*", set(everything)
        case "step":
            step = dice.randint(2, max(2, len(everything) // 2))
            return f"*/{step}", set(everything[::step])
        case "range":
            first, last = sorted(dice.sample(everything, 2))
            step = dice.randint(1, 3)
            return f"{first}-{last}" + (f"/{step}" if step > 1 else ""), set(range(first, last + 1, step))
        case "list":
            chosen = dice.sample(everything, 2)
            return ",".join(map(str, chosen)), set(chosen)
        case _:
            one = dice.choice(everything)
            return names[one] if names else str(one), {one}


def brute(zone: ZoneInfo, begin: datetime, end: datetime, fields: list[tuple[str, set[int]]]) -> list[datetime]:
    """Return the ticks of a zone by looking at each of its minutes."""
    (_, minutes), (_, hours), (day, days), (_, months), (weekday, weekdays) = fields
    by_the_clock = len(hours) == 24

    def fits(wall: datetime) -> bool:
        of_month, of_week = wall.day in days, wall.isoweekday() % 7 in weekdays
        fits_day = (of_month or of_week) if "*" not in {day, weekday} else (of_month and of_week)
        return wall.minute in minutes and wall.hour in hours and wall.month in months and fits_day

    found = []
    moment, shown = begin + MINUTE, (begin.astimezone(zone)).replace(tzinfo=None)
    while moment <= end:
        here = moment.astimezone(zone)
        wall = here.replace(tzinfo=None)
        left_out = [shown + n * MINUTE for n in range(1, (wall - shown) // MINUTE)]
        is_due = fits(wall) and (by_the_clock or not here.fold)
        if is_due or (not by_the_clock and any(map(fits, left_out))):
            found.append(moment)
        moment, shown = moment + MINUTE, wall
    return found


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("zone", CHANGES)
def test_ticks_are_those_that_a_look_at_each_minute_finds(zone: str, seed: int) -> None:
    dice = random.Random(f"{zone} {seed}")
    change = dice.choice(CHANGES[zone])
    begin, end = change - timedelta(hours=dice.randint(3, 30)), change + timedelta(hours=dice.randint(3, 30))
    fields = [some_field(0, 59, dice), some_field(0, 23, dice), *days_of(dice)]
    cron = " ".join(["0", *(text for text, _ in fields)])

    ticks = ticks_between(cron, zone_named(zone), begin, end, 10_000)

    assert [tick.astimezone(UTC) for tick in ticks] == brute(ZoneInfo(zone), begin, end, fields), cron


def days_of(dice: random.Random) -> list[tuple[str, set[int]]]:
    """Return the fields of the day; mostly any, because the test looks at few days."""
    anything: list[tuple[str, set[int]]] = [
        ("*", set(range(1, 32))),
        ("*", set(range(1, 13))),
        ("*", set(range(7))),
    ]
    if dice.random() < 0.6:
        return anything
    return [some_field(1, 31, dice), anything[1], some_field(0, 6, dice, NAMES)]


def test_ticks_come_in_pieces_as_they_come_at_once() -> None:
    begin, end = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 4, tzinfo=UTC)
    whole = ticks_between("0 */7 * * * *", BERLIN, begin, end, 1000)

    pieces: list[datetime] = []
    while len(pieces) < len(whole):
        pieces += ticks_between("0 */7 * * * *", BERLIN, pieces[-1] if pieces else begin, end, 3)

    assert pieces == whole


def test_rare_days_are_found() -> None:
    assert walls("0 0 3 29 2 *", BERLIN, "2026-01-01T00:00", 1) == ["29 03:00+01"]
    assert walls("0 0 0 l * *", BERLIN, "2026-02-01T00:00", 2) == ["28 00:00+01", "31 00:00+02"]
    assert walls("0 0 9 * * 5#3", BERLIN, "2026-04-01T00:00", 1) == ["17 09:00+02"]
    assert walls("0 0 9 * * L5", BERLIN, "2026-04-01T00:00", 1) == ["24 09:00+02"]


def test_a_tick_is_after_the_instant_also_within_its_second() -> None:
    asked = datetime(2026, 1, 1, 0, 0, 5, 300_000, tzinfo=UTC)

    assert next_tick("* * * * * *", UTC, asked) == datetime(2026, 1, 1, 0, 0, 6, tzinfo=UTC)
    assert next_tick("5 * * * * *", UTC, asked) == datetime(2026, 1, 1, 0, 1, 5, tzinfo=UTC)


def test_an_instant_is_its_milliseconds() -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)

    assert instant(milliseconds(moment)) == moment.astimezone(UTC)


def test_five_fields_are_answered_with_six() -> None:
    with pytest.raises(InvalidArgument, match=r'second first: "0 0 3 \* \* \*"'):
        check_cron("0 3 * * *")


@pytest.mark.covers(143)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "@daily",
        "0 60 * * * *",
        "0 0 24 * * *",
        "0 0 0 0 * *",
        "0 0 0 * 13 *",
        "a b c d e f",
        "r * * * * *",
        "0 h * * * *",
        "0 0 0 15w * *",
        "0 0 0 ? * *",
        "0 0 0 31 2 *",
        "0 0 0 * * 8",
        "0 0 0 * * 5#6",
        7,
        None,
    ],
)
def test_a_cron_that_cannot_be_meant_is_refused(text: object) -> None:
    with pytest.raises(InvalidArgument, match="schedule="):
        check_cron(text)


@pytest.mark.parametrize("text", ["*/15 * * * * *", "0 0 3 * * *", "0 5,10 9-17/2 1 jan-mar mon-fri", "0 0 0 L * *"])
def test_a_cron_is_taken_as_it_is(text: str) -> None:
    assert check_cron(text) == text


@pytest.mark.parametrize("name", ["", "Berlin", "Europe/Nowhere", "../etc/passwd", None, 3, "Europe"])
def test_an_unknown_zone_is_refused(name: object) -> None:
    with pytest.raises(InvalidArgument, match="IANA"):
        zone_named(name)
