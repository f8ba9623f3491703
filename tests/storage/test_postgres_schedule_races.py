"""A tick is decided on locked rows: each race is lost by who comes second, and won by him once the lock is cut out."""

from __future__ import annotations

import pytest

from durust.model.records import ScheduleRow
from durust.model.schedule_writes import FireTicks, ResumeSchedule, StoreSchedule, Tick
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import schedules
from tests.conformance.builders import APP, NAME, commit
from tests.storage.races import Actor, Race, cut

LOCK = """       for no key update
), moved as ("""
JUDGED_EARLY = "), moved as ("


def make_schedule(provider: PostgresProvider, overlap: str = "allow") -> ScheduleRow:
    """Store a schedule and return it as it stands."""
    commit(provider, StoreSchedule("id", "often", NAME, "* * * * * *", "UTC", "null", False, overlap, None, APP, False))
    [row] = provider.schedules().rows
    return row


def fire(row: ScheduleRow, second: int) -> FireTicks:
    """Return the write that fires one tick of a schedule as it was read."""
    time = f"2026-01-01T00:00:{second:02}+00:00"
    ticks = (Tick(f"sched-often-{time}", time, "{}"),)
    return FireTicks(row, (row.settled_ms or 0) + 1000 * second, "racer", APP, ticks)


def runs(race: Race) -> int:
    """Return how many runs there are."""
    [[count]] = race.observer.do("select count(*) from dbos.workflow_status")
    return int(count)


def fires_beside(race: Race, first: Actor, second: Actor, write: FireTicks, *, is_cut: bool) -> bool:
    """Fire beside the open transaction of *first*, which then commits; return whether the ticks counted."""
    sql = cut(SQL.fire_ticks.sql, LOCK, JUDGED_EARLY) if is_cut else SQL.fire_ticks.sql
    fired = second.start(sql, schedules.fire_ticks(write))
    race.until_settled(second, fired)
    first.do("commit")
    return bool(fired.result())


@pytest.mark.covers(142)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_of_two_that_fire_at_once_one_counts(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    row = make_schedule(provider)
    first, second = race.actor("first"), race.actor("second")
    first.do("begin")
    assert first.do(SQL.fire_ticks.sql, schedules.fire_ticks(fire(row, 1)))

    counted = fires_beside(race, first, second, fire(row, 2), is_cut=is_cut)

    assert counted is is_cut
    assert runs(race) == (2 if is_cut else 1)


@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_tick_that_races_one_before_it_sees_its_run(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    row = make_schedule(provider, overlap="skip")
    first, second = race.actor("first"), race.actor("second")
    first.do("begin")
    assert first.do(SQL.fire_ticks.sql, schedules.fire_ticks(fire(row, 1)))

    fires_beside(race, first, second, fire(row, 2), is_cut=is_cut)

    assert runs(race) == (2 if is_cut else 1)


@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_tick_that_races_a_pause_does_not_count(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    row = make_schedule(provider)
    first, second = race.actor("first"), race.actor("second")
    first.do("begin")
    first.do(SQL.pause_schedules.sql, schedules.named("often"))

    counted = fires_beside(race, first, second, fire(row, 1), is_cut=is_cut)

    assert (counted, runs(race)) == (is_cut, int(is_cut))


def test_a_pause_that_races_a_tick_waits_for_it(provider: PostgresProvider, race: Race) -> None:
    row = make_schedule(provider)
    first, second = race.actor("first"), race.actor("second")
    first.do("begin")
    first.do(SQL.fire_ticks.sql, schedules.fire_ticks(fire(row, 1)))

    paused = second.start(SQL.pause_schedules.sql, schedules.named("often"))
    race.until_waiting(second)
    first.do("commit")

    assert len(paused.result()) == 1
    [standing] = provider.schedules().rows
    assert (standing.status, standing.settled_ms) == ("PAUSED", (row.settled_ms or 0) + 1000)
    assert runs(race) == 1


def test_a_second_resume_settles_nothing_that_a_tick_left_open(provider: PostgresProvider, race: Race) -> None:
    row = make_schedule(provider)
    first, second = race.actor("first"), race.actor("second")
    race.observer.do("update dbos.workflow_schedules set status = 'PAUSED'")
    first.do("begin")
    first.do(SQL.resume_schedules.sql, schedules.named("often"))
    resumed = second.start(SQL.resume_schedules.sql, schedules.named("often"))
    race.until_waiting(second)
    [[settled]] = first.do("select settled_until from durust.schedules")
    first.do("commit")

    resumed.result()

    [standing] = provider.schedules().rows
    assert (standing.status, standing.settled_ms) == ("ACTIVE", settled)
    assert settled >= (row.settled_ms or 0)
    commit(provider, ResumeSchedule("often"))
    assert provider.schedules().rows == (standing,)


def test_the_look_for_a_run_that_has_not_ended_reads_no_past(provider: PostgresProvider, race: Race) -> None:
    make_schedule(provider, overlap="skip")
    race.observer.do(
        "insert into dbos.workflow_status (workflow_uuid, name, status, schedule_name)"
        " select 'past ' || n, 'ship', 'SUCCESS', 'often' from generate_series(1, 5000) n"
    )
    race.observer.do("vacuum analyze dbos.workflow_status")

    plan = race.observer.do(
        f"explain (analyze, buffers) {SQL.fire_ticks.sql}",
        schedules.fire_ticks(fire(provider.schedules().rows[0], 1)),
    )

    text = "\n".join(line for (line,) in plan)
    assert "durust_schedule_runs" in text
    assert "Seq Scan on workflow_status" not in text
