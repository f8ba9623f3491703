"""What one look of the scheduler fires, and when it looks again."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from durust import clock
from durust.engine.scheduler import LOOK_SECONDS_MAX, VAGUE_SECONDS, Scheduler
from durust.model.cron import instant, milliseconds
from durust.model.filters import Scope
from durust.model.records import ScheduleRow, WorkflowRow
from durust.model.schedule_writes import FireTicks, PauseSchedule, ResumeSchedule, StoreSchedule
from durust.model.schedules import CATCH_UP_TICKS, GRACE_MS, utc_text
from durust.storage.provider import Hint
from tests.conformance.conftest import schedule_maker
from tests.engine.stage import Stage
from tests.support.waiting import eventually

APP, WORKFLOW = "durust", "report"
HOUR_MS = 3_600_000


class Firing:
    """A scheduler that is led by hand, and what it told."""

    def __init__(self, stage: Stage) -> None:
        self.hints: list[Hint] = []
        self.scheduler = Scheduler(stage.make_line(), lambda: Scope(APP, (WORKFLOW,)), self.hints.extend)

    def look(self) -> float:
        return self.scheduler.run_once()

    def close(self) -> None:
        self.scheduler.stop()


def make_schedule(stage: Stage, name: str = "hourly", *, settled_ms: int | None = None, **fields: Any) -> ScheduleRow:
    """Store a schedule that is settled up to some time, by default up to now."""
    values: dict[str, Any] = {
        "workflow": WORKFLOW,
        "cron": "0 0 * * * *",
        "zone": "UTC",
        "context": "null",
        "catch_up": False,
        "overlap": "allow",
        "queue": None,
        "app_name": APP,
    }
    stage.commit(StoreSchedule(f"id of {name}", name, replaces=False, **(values | fields)))
    if settled_ms is not None:
        stage.commit(FireTicks(read(stage, name), settled_ms, "test", APP))
    return read(stage, name)


def read(stage: Stage, name: str = "hourly") -> ScheduleRow:
    """Read one schedule."""
    [row] = [row for row in stage.provider.schedules().rows if row.name == name]
    return row


def now_ms(stage: Stage) -> int:
    """Return the database's time."""
    return stage.provider.schedules().now_ms


def runs(stage: Stage, name: str = "hourly") -> list[WorkflowRow]:
    """Return the runs of a schedule."""
    found = [row for row in stage.rows() if row.schedule_name == name]
    return sorted(found, key=lambda row: row.workflow_id)


def look(stage: Stage) -> float:
    """Look once and return how long until the next look."""
    with closing(Firing(stage)) as firing:
        return firing.look()


def last_second(stage: Stage) -> datetime:
    """Return the whole second that the database is in."""
    return instant(now_ms(stage)).replace(microsecond=0)


def cron_of(moment: datetime) -> str:
    """Return a cron of that second of each day."""
    return f"{moment.second} {moment.minute} {moment.hour} * * *"


def test_a_tick_that_is_due_starts_its_run(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS, context='{"a": [1]}', queue="q")

    with closing(Firing(stage)) as firing:
        firing.look()

        assert firing.hints == [Hint("queue", "q")]
    [run] = runs(stage)
    local = tick.isoformat()
    assert (run.workflow_id, run.name, run.queue) == (f"sched-hourly-{local}", WORKFLOW, "q")
    assert stage.row(run.workflow_id).inputs == (
        f'{{"positionalArgs":[{{"scheduled_time":"{local}","context":{{"a": [1]}}}}],"namedArgs":{{}}}}'
    )
    assert (read(stage).settled_ms, read(stage).last_fired_at) == (milliseconds(tick), local)


def test_the_time_of_a_run_is_in_the_schedule_s_zone_and_its_id_in_utc(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron="* * * * * *", zone="Asia/Kathmandu", settled_ms=milliseconds(tick) - 1)

    look(stage)

    run = runs(stage)[0]
    inputs = stage.row(run.workflow_id).inputs or ""
    assert run.workflow_id.endswith("+00:00")
    assert '+05:45","context":null' in inputs


def test_a_second_look_fires_nothing_again(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS)
    look(stage)

    look(stage)

    assert len(runs(stage)) == 1


def test_of_missed_ticks_the_latest_alone_fires(stage: Stage) -> None:
    before = now_ms(stage)
    make_schedule(stage, cron="* * * * * *", settled_ms=before - 10_000)

    look(stage)

    [run] = runs(stage)
    settled_ms = read(stage).settled_ms or 0
    assert run.workflow_id == f"sched-hourly-{utc_text(instant(settled_ms))}"
    assert settled_ms >= before - before % 1000


def test_a_missed_tick_that_is_too_late_does_not_fire(stage: Stage) -> None:
    before = now_ms(stage)
    tick = instant(before - GRACE_MS - 1000).replace(microsecond=0)
    make_schedule(stage, cron=cron_of(tick), settled_ms=before - HOUR_MS)

    pause = look(stage)

    assert runs(stage) == []
    assert (read(stage).settled_ms or 0) >= before
    assert read(stage).last_fired_at is None
    assert pause == LOOK_SECONDS_MAX


def test_a_tick_within_its_grace_fires_late(stage: Stage) -> None:
    tick = instant(now_ms(stage) - GRACE_MS + 30_000).replace(microsecond=0)
    make_schedule(stage, cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS)

    look(stage)

    assert [run.workflow_id for run in runs(stage)] == [f"sched-hourly-{utc_text(tick)}"]


@pytest.mark.covers(147)
def test_catch_up_fires_each_missed_tick_in_order(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), catch_up=True, settled_ms=milliseconds(tick - timedelta(days=3)))

    look(stage)

    days = [tick - timedelta(days=ago) for ago in (2, 1, 0)]
    assert [run.workflow_id for run in runs(stage)] == [f"sched-hourly-{utc_text(day)}" for day in days]
    assert read(stage).settled_ms == milliseconds(tick)


def test_catch_up_goes_in_bounded_steps_and_blocks_no_other(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), catch_up=True, settled_ms=milliseconds(tick - timedelta(days=250)))
    make_schedule(stage, "other", cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS)

    with closing(Firing(stage)) as firing:
        pauses = [firing.look()]
        counts = [(len(runs(stage)), len(runs(stage, "other")))]
        while pauses[-1] < 1:
            pauses.append(firing.look())
            counts.append((len(runs(stage)), len(runs(stage, "other"))))

    assert counts == [(CATCH_UP_TICKS, 1), (2 * CATCH_UP_TICKS, 1), (250, 1)]


def test_ticks_of_a_pause_never_fire(stage: Stage) -> None:
    make_schedule(stage, cron="* * * * * *", catch_up=True, settled_ms=now_ms(stage) - 10_000)
    stage.commit(PauseSchedule("hourly"))
    look(stage)
    resumed_at = now_ms(stage)

    stage.commit(ResumeSchedule("hourly"))
    look(stage)

    late = [run for run in runs(stage) if run.workflow_id < f"sched-hourly-{utc_text(instant(resumed_at))}"]
    assert late == []


def test_a_schedule_of_another_application_is_left_alone(stage: Stage) -> None:
    tick = last_second(stage)
    theirs = make_schedule(stage, cron=cron_of(tick), app_name="theirs", settled_ms=milliseconds(tick) - HOUR_MS)

    look(stage)

    assert runs(stage) == []
    assert read(stage) == theirs


@pytest.mark.parametrize(("workflow", "count"), [(WORKFLOW, 1), ("unknown", 0)])
def test_a_schedule_of_no_application_fires_where_its_workflow_is_known(
    stage: Stage, workflow: str, count: int
) -> None:
    tick = last_second(stage)
    make = schedule_maker(stage.url, stage.provider)
    # Five fields, as other libraries write them; its minute is over, and the second is 0.
    make("hourly", workflow_name=workflow, schedule="* * * * *", automatic_backfill=True)
    look(stage)
    row = read(stage)
    if row.settled_ms is not None:
        stage.commit(FireTicks(row, milliseconds(tick) - 60_000, "test", APP))

    look(stage)

    assert len(runs(stage)) == count
    assert all(run.app_name == APP and run.workflow_id.endswith(":00+00:00") for run in runs(stage))


@pytest.mark.covers(152)
def test_a_schedule_fires_where_its_workflow_is_not_known(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, workflow="elsewhere", cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS)

    look(stage)

    assert [run.name for run in runs(stage)] == ["elsewhere"]


@pytest.mark.parametrize(
    "columns", [{"schedule": "whenever"}, {"cron_timezone": "Mars/Olympus"}, {"context": "gASVBAAAAAAAAABLAYWULg=="}]
)
def test_what_another_library_alone_understands_is_told_once_and_blocks_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture, columns: dict[str, Any]
) -> None:
    tick = last_second(stage)
    make = schedule_maker(stage.url, stage.provider)
    make("strange", workflow_name=WORKFLOW, **({"schedule": "* * * * *", "automatic_backfill": True} | columns))
    row = read(stage, "strange")
    stage.commit(FireTicks(row, 1000, "test", APP), FireTicks(replace(row, settled_ms=1000), 2000, "test", APP))
    make_schedule(stage, cron=cron_of(tick), settled_ms=milliseconds(tick) - HOUR_MS)

    with caplog.at_level(logging.WARNING, "durust"), closing(Firing(stage)) as firing:
        firing.look()
        firing.look()

    assert len(runs(stage)) == 1
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["strange"]


def test_the_next_look_is_at_the_next_tick(stage: Stage) -> None:
    make_schedule(stage, cron="*/5 * * * * *")

    pause = look(stage)

    assert 0 < pause <= 5


def test_without_a_schedule_the_next_look_is_far(stage: Stage) -> None:
    assert look(stage) == LOOK_SECONDS_MAX


def test_a_look_that_is_asked_for_by_a_vague_hint_comes_after_a_while(stage: Stage) -> None:
    with closing(Firing(stage)) as firing:
        firing.look()
        make_schedule(stage, cron="* * * * * *", catch_up=True, settled_ms=now_ms(stage) - 5000)

        firing.scheduler.hear(Hint("any"))
        pause = firing.look()

        assert 0 < pause <= VAGUE_SECONDS
        assert runs(stage) == []
        firing.scheduler.hear(Hint("schedule", "hourly"))
        firing.look()
        assert runs(stage) != []


def test_a_hint_of_a_changed_schedule_wakes_a_scheduler_that_sleeps(stage: Stage) -> None:
    firing = Firing(stage)
    firing.scheduler.start()
    line = stage._lines[-1]
    eventually(lambda: line.calls["schedules"] == 1)
    make_schedule(stage, cron="* * * * * *")

    firing.scheduler.hear(Hint("schedule", "hourly"))

    eventually(lambda: runs(stage))
    firing.close()


@pytest.mark.protocol("4.schedules")
@pytest.mark.covers(142)
def test_of_many_schedulers_one_fires_each_tick(stage: Stage) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), catch_up=True, settled_ms=milliseconds(tick - timedelta(days=20)))
    firings = [Firing(stage) for _ in range(4)]
    barrier = Barrier(len(firings))

    def race(firing: Firing) -> None:
        barrier.wait()
        firing.look()

    with ThreadPoolExecutor(len(firings)) as pool:
        list(pool.map(race, firings))

    assert len(runs(stage)) == 20
    assert sum(len(firing.hints) for firing in firings) == 1
    for firing in firings:
        firing.close()


@pytest.mark.protocol("4.schedules")
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize("hours", [-3, 3])
def test_a_wrong_clock_changes_no_tick(stage: Stage, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    tick = last_second(stage)
    make_schedule(stage, cron=cron_of(tick), settled_ms=milliseconds(tick) - 1000)
    right = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: right() + hours * HOUR_MS)
    monkeypatch.setattr(clock, "now_utc", lambda: datetime.now(UTC) + timedelta(hours=hours))

    pause = look(stage)

    assert [run.workflow_id for run in runs(stage)] == [f"sched-hourly-{utc_text(tick)}"]
    assert pause == LOOK_SECONDS_MAX
