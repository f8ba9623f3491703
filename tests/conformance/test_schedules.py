"""What a provider makes of the writes of schedules, and that a tick starts once whoever fires it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from durust.model.filters import ListFilter
from durust.model.records import ScheduleRow, WorkflowRow
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
    Tick,
)
from durust.model.status import ENQUEUED
from durust.model.writes import INTERNAL_QUEUE, Missing, Outcome, Recorded, Refused
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    NAME,
    QUEUE,
    commit,
    commit_one,
    finish,
    make_enqueued,
    make_executor,
    row_of,
    want,
)
from tests.conformance.conftest import ForeignSchedule

RACERS = 4


def store(name: str = "nightly", schedule_id: str = "", *, replaces: bool = False, **fields: Any) -> StoreSchedule:
    """Return the write that stores a schedule."""
    values: dict[str, Any] = {
        "workflow": NAME,
        "cron": "0 0 3 * * *",
        "zone": "Europe/Berlin",
        "context": '{"a":1}',
        "catch_up": False,
        "overlap": "allow",
        "queue": None,
        "app_name": APP,
    }
    return StoreSchedule(schedule_id or f"id of {name}", name, replaces=replaces, **(values | fields))


def make_schedule(provider: StateProvider, name: str = "nightly", **fields: Any) -> ScheduleRow:
    """Store a schedule and return it as it stands."""
    assert commit_one(provider, store(name, **fields)) == Recorded()
    return read(provider, name)


def read(provider: StateProvider, name: str = "nightly") -> ScheduleRow:
    """Read one schedule."""
    [row] = [row for row in provider.schedules().rows if row.name == name]
    return row


def names(provider: StateProvider) -> set[str]:
    """Return the names of all schedules."""
    return {row.name for row in provider.schedules().rows}


def tick(name: str, second: int) -> Tick:
    """Return a tick of a schedule."""
    time = f"2026-01-01T00:00:{second:02}+00:00"
    return Tick(f"sched-{name}-{time}", time, f'{{"positionalArgs":[{second}]}}')


def fire(schedule: ScheduleRow, *seconds: int, settled_ms: int | None = None, **fields: Any) -> FireTicks:
    """Return the write that fires ticks of a schedule as it was read; by default it is settled a second further."""
    settled_ms = (schedule.settled_ms or 0) + 1000 if settled_ms is None else settled_ms
    ticks = tuple(tick(schedule.name, second) for second in seconds)
    return FireTicks(schedule, settled_ms, **({"creator": "me", "app_name": APP} | fields), ticks=ticks)


def runs(provider: StateProvider, name: str = "nightly") -> list[WorkflowRow]:
    """Return the runs of a schedule."""
    return [row for row in provider.workflows(ListFilter()) if row.schedule_name == name]


def test_a_database_without_schedules_tells_the_time(provider: StateProvider) -> None:
    found = provider.schedules()

    assert found.rows == ()
    assert found.now_ms > 1_700_000_000_000


def test_a_stored_schedule_is_read_as_it_was_stored(provider: StateProvider) -> None:
    before = provider.schedules().now_ms

    row = make_schedule(provider, catch_up=True, overlap="skip", queue="work")

    after = provider.schedules().now_ms
    assert before <= (row.settled_ms or 0) <= after
    assert replace(row, settled_ms=None) == ScheduleRow(
        schedule_id="id of nightly",
        name="nightly",
        workflow=NAME,
        cron="0 0 3 * * *",
        zone="Europe/Berlin",
        context='{"a":1}',
        status="ACTIVE",
        catch_up=True,
        queue="work",
        app_name=APP,
        last_fired_at=None,
        overlap="skip",
    )


@pytest.mark.covers(143)
def test_a_name_that_is_taken_is_told_with_what_has_it(provider: StateProvider) -> None:
    standing = make_schedule(provider)

    outcome = commit_one(provider, store(schedule_id="another", cron="* * * * * *"))

    assert outcome == ScheduleExists(standing)
    assert provider.schedules().rows == (standing,)


def test_a_schedule_that_is_stored_again_by_its_own_retry_is_recorded(provider: StateProvider) -> None:
    standing = make_schedule(provider)

    assert commit_one(provider, store()) == Recorded()
    assert read(provider) == standing


@pytest.mark.covers(144)
def test_a_replaced_schedule_keeps_its_id_context_status_last_tick_and_how_far_it_is_settled(
    provider: StateProvider,
) -> None:
    commit(provider, fire(make_schedule(provider), 1))
    commit(provider, PauseSchedule("nightly"))
    old = read(provider)
    changed: dict[str, Any] = {
        "workflow": "bill",
        "catch_up": True,
        "overlap": "skip",
        "queue": "q",
    }

    outcome = commit_one(provider, store(schedule_id="new", replaces=True, context="2", **changed))

    assert outcome == Recorded()
    assert read(provider) == replace(old, **changed)
    assert old.last_fired_at == "2026-01-01T00:00:01+00:00"


@pytest.mark.parametrize("changed", [{"cron": "0 * * * * *"}, {"zone": "UTC"}])
def test_a_replaced_schedule_whose_ticks_change_is_settled_up_to_now(
    provider: StateProvider, changed: dict[str, str]
) -> None:
    commit(provider, fire(make_schedule(provider), settled_ms=1))
    begun = provider.schedules().now_ms

    outcome = commit_one(provider, store(replaces=True, **changed))

    assert outcome == Recorded()
    assert begun <= (read(provider).settled_ms or 0) <= provider.schedules().now_ms


def test_a_refused_replacement_settles_nothing(provider: StateProvider) -> None:
    commit(provider, fire(make_schedule(provider), settled_ms=1))

    outcome = commit_one(provider, store(schedule_id="new", cron="0 * * * * *"))

    assert isinstance(outcome, ScheduleExists)
    assert read(provider).settled_ms == 1


@pytest.mark.covers(144)
def test_a_declaration_without_a_schedule_creates_it_and_leaves_the_others(provider: StateProvider) -> None:
    other = make_schedule(provider, "other")

    assert commit_one(provider, store(replaces=True)) == Recorded()
    assert names(provider) == {"nightly", "other"}
    assert read(provider, "other") == other


def test_another_application_s_schedule_is_not_replaced(provider: StateProvider) -> None:
    standing = make_schedule(provider, app_name="theirs")

    assert commit_one(provider, store(schedule_id="mine", replaces=True)) == ScheduleExists(standing)
    assert read(provider) == standing


def test_an_unclaimed_schedule_is_taken_over(provider: StateProvider, foreign_schedule: ForeignSchedule) -> None:
    foreign_schedule("nightly", application_name=None, status="PAUSED")

    assert commit_one(provider, store(schedule_id="mine", replaces=True, overlap="skip")) == Recorded()
    row = read(provider)
    assert (row.schedule_id, row.app_name, row.status, row.overlap) == ("theirs", APP, "PAUSED", "skip")
    assert row.settled_ms


@pytest.mark.covers(144)
def test_many_store_one_name_at_once_and_one_of_them_stands(provider: StateProvider) -> None:
    barrier = Barrier(RACERS)

    def race(number: int) -> Outcome:
        barrier.wait()
        return commit_one(provider, store(schedule_id=str(number)))

    with ThreadPoolExecutor(RACERS) as pool:
        outcomes = list(pool.map(race, range(RACERS)))

    standing = read(provider)
    assert sorted(map(str, outcomes)) == sorted(map(str, [Recorded(), *[ScheduleExists(standing)] * (RACERS - 1)]))


@pytest.mark.covers(143)
def test_a_deleted_schedule_is_gone_and_its_runs_stay(provider: StateProvider) -> None:
    commit(provider, fire(make_schedule(provider), 1))

    assert commit(provider, DeleteSchedule("nightly"), DeleteSchedule("other")) == [Recorded(), Missing()]
    assert names(provider) == set()
    assert len(runs(provider)) == 1


def test_a_schedule_that_is_made_anew_is_settled_from_then(provider: StateProvider) -> None:
    old = make_schedule(provider)
    commit(provider, fire(old, settled_ms=1), DeleteSchedule("nightly"))

    assert (make_schedule(provider).settled_ms or 0) >= (old.settled_ms or 0)


@pytest.mark.covers(143)
def test_a_pause_stops_ticks_and_those_of_it_never_fire(provider: StateProvider) -> None:
    row = make_schedule(provider)
    commit(provider, fire(row, settled_ms=1000))
    assert commit_one(provider, PauseSchedule("nightly")) == Recorded()
    paused = read(provider)

    assert commit_one(provider, fire(paused, 1)) == Moved()
    assert commit_one(provider, ResumeSchedule("nightly")) == Recorded()
    resumed = read(provider)
    assert (paused.status, paused.settled_ms, resumed.status) == ("PAUSED", 1000, "ACTIVE")
    assert (resumed.settled_ms or 0) >= (row.settled_ms or 0)
    assert runs(provider) == []


def test_a_resume_of_what_was_not_paused_settles_nothing(provider: StateProvider) -> None:
    commit(provider, fire(make_schedule(provider), settled_ms=1000))

    commit(provider, ResumeSchedule("nightly"))

    assert read(provider).settled_ms == 1000


def test_what_is_not_there_is_missing(provider: StateProvider) -> None:
    writes = PauseSchedule("x"), ResumeSchedule("x"), DeleteSchedule("x")

    assert commit(provider, *writes) == [Missing()] * 3


def test_ticks_start_runs_and_move_the_schedule_on(provider: StateProvider) -> None:
    row = make_schedule(provider)

    outcome = commit_one(provider, fire(row, 1, 2))

    ids = tuple(tick("nightly", second).workflow_id for second in (1, 2))
    assert outcome == Fired(ids)
    assert read(provider) == replace(
        row, settled_ms=(row.settled_ms or 0) + 1000, last_fired_at="2026-01-01T00:00:02+00:00"
    )
    one = row_of(provider, ids[0])
    assert (one.name, one.status, one.queue, one.app_name) == (NAME, ENQUEUED, INTERNAL_QUEUE, APP)
    assert (one.inputs, one.serialization, one.creator) == ('{"positionalArgs":[1]}', "portable_json", "me")
    assert (one.schedule_name, one.app_version, one.attempts, one.priority) == ("nightly", None, 0, 0)


@pytest.mark.covers(149)
def test_ticks_start_on_the_queue_of_their_schedule_and_are_claimed_there(provider: StateProvider) -> None:
    commit(provider, fire(make_schedule(provider, queue=QUEUE), 1))

    [claimed] = provider.claim(want(make_executor(provider, "first")))

    assert (claimed.queue, claimed.inputs) == (QUEUE, '{"positionalArgs":[1]}')


@pytest.mark.covers(142)
def test_who_fires_a_schedule_that_was_moved_on_starts_nothing(provider: StateProvider) -> None:
    row = make_schedule(provider)
    commit(provider, fire(row, 1))

    outcome = commit_one(provider, fire(row, 2))

    assert outcome == Moved()
    assert len(runs(provider)) == 1
    assert read(provider).settled_ms == (row.settled_ms or 0) + 1000


@pytest.mark.parametrize(
    "changed", [{"cron": "* * * * * *"}, {"zone": "UTC"}, {"workflow": "bill"}, {"queue": "q"}, {"catch_up": True}]
)
def test_who_fires_a_schedule_that_was_replaced_starts_nothing(
    provider: StateProvider, changed: dict[str, Any]
) -> None:
    row = make_schedule(provider)
    commit(provider, store(replaces=True, **changed))

    assert commit_one(provider, fire(row, 1)) == Moved()
    assert runs(provider) == []


def test_who_fires_a_schedule_that_was_deleted_or_made_anew_starts_nothing(provider: StateProvider) -> None:
    row = make_schedule(provider)
    commit(provider, DeleteSchedule("nightly"))
    assert commit_one(provider, fire(row, 1)) == Moved()
    commit(provider, store(schedule_id="another"))

    assert commit_one(provider, fire(row, 1)) == Moved()
    assert runs(provider) == []


def test_a_run_that_is_there_already_is_not_started_again_and_the_others_are(provider: StateProvider) -> None:
    row = make_schedule(provider)
    make_enqueued(provider, tick("nightly", 1).workflow_id)

    outcome = commit_one(provider, fire(row, 1, 2))

    assert outcome == Fired((tick("nightly", 2).workflow_id,))
    assert read(provider).last_fired_at == "2026-01-01T00:00:02+00:00"


def test_two_fires_of_one_batch_follow_each_other(provider: StateProvider) -> None:
    row = make_schedule(provider)
    first = fire(row, 1)
    second = fire(replace(row, settled_ms=first.settled_ms), 2)

    outcomes = commit(provider, first, second, fire(row, 3))

    assert outcomes == [Fired((tick("nightly", 1).workflow_id,)), Fired((tick("nightly", 2).workflow_id,)), Moved()]


def test_ticks_may_be_settled_without_a_run(provider: StateProvider) -> None:
    row = make_schedule(provider)

    assert commit_one(provider, fire(row)) == Fired(())
    assert read(provider) == replace(row, settled_ms=(row.settled_ms or 0) + 1000)


def test_a_tick_that_meets_a_run_is_skipped_where_the_schedule_says_so(provider: StateProvider) -> None:
    make_schedule(provider, overlap="skip", queue=QUEUE)
    make_executor(provider, "first")

    assert commit_one(provider, fire(read(provider), 1)) == Fired((tick("nightly", 1).workflow_id,))
    assert commit_one(provider, fire(read(provider), 2)) == Fired(())
    [claimed] = provider.claim(want("first"))
    assert commit_one(provider, fire(read(provider), 3)) == Fired(())
    assert read(provider).last_fired_at == "2026-01-01T00:00:01+00:00"
    commit(provider, finish(claimed))
    assert commit_one(provider, fire(read(provider), 4)) == Fired((tick("nightly", 4).workflow_id,))


def test_of_many_ticks_at_once_one_starts_where_runs_must_not_meet(provider: StateProvider) -> None:
    row = make_schedule(provider, overlap="skip")

    assert commit_one(provider, fire(row, 1, 2, 3)) == Fired((tick("nightly", 1).workflow_id,))


def test_ticks_in_turn_wait_in_the_partition_of_their_schedule(provider: StateProvider) -> None:
    row = make_schedule(provider, overlap="queue")

    commit(provider, fire(row, 1))

    run = row_of(provider, tick("nightly", 1).workflow_id)
    assert (run.queue, run.partition_key) == (SCHEDULE_QUEUE, "nightly")


def test_a_run_of_another_schedule_is_no_overlap(provider: StateProvider) -> None:
    commit(provider, fire(make_schedule(provider, "other"), 1))

    assert commit_one(provider, fire(make_schedule(provider, overlap="skip"), 1)) != Fired(())


@pytest.mark.covers(142)
def test_many_fire_one_tick_at_once_and_it_starts_once(provider: StateProvider) -> None:
    row = make_schedule(provider)
    for second in range(1, 6):
        barrier = Barrier(RACERS)
        standing = read(provider)

        def race(
            number: int, standing: ScheduleRow = standing, second: int = second, barrier: Barrier = barrier
        ) -> Outcome:
            barrier.wait()
            return commit_one(provider, fire(standing, second, creator=f"racer {number}"))

        with ThreadPoolExecutor(RACERS) as pool:
            outcomes = list(pool.map(race, range(RACERS)))

        assert sorted(map(type, outcomes), key=str) == sorted([Fired, *[Moved] * (RACERS - 1)], key=str)
    assert len(runs(provider)) == 5
    assert read(provider).settled_ms == (row.settled_ms or 0) + 5000


def test_a_schedule_of_another_library_is_settled_first(
    provider: StateProvider, foreign_schedule: ForeignSchedule
) -> None:
    foreign_schedule("nightly", application_name=None)
    found = read(provider)
    assert (found.settled_ms, found.overlap, found.zone) == (None, "allow", None)

    outcomes = [commit_one(provider, fire(found, 1, settled_ms=settled)) for settled in (1000, 2000)]

    assert outcomes == [Fired(()), Moved()]
    assert (read(provider).settled_ms, runs(provider)) == (1000, [])
    assert commit_one(provider, fire(read(provider), 1)) == Fired((tick("nightly", 1).workflow_id,))
    assert row_of(provider, tick("nightly", 1).workflow_id).app_name == APP


def test_a_name_that_no_database_takes_is_refused(provider: StateProvider) -> None:
    outcomes = commit(provider, store("night\0ly", "id"), store("daily"))

    assert outcomes == [Refused("name holds a NUL"), Recorded()]
    assert names(provider) == {"daily"}
