"""Schedules as users see them: declared with a workflow or made through the engine, in both colours."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from durust import (
    DurableEngine,
    InvalidArgument,
    QueueNotFound,
    ScheduleConflict,
    ScheduledInput,
    ScheduleNotFound,
    SerializationError,
    Status,
    WorkflowNotRegistered,
    WorkflowQueue,
    clock,
)
from durust.schedules import BACKFILL_TICKS_MAX
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

BERLIN = ZoneInfo("Europe/Berlin")
NEVER_SOON = "0 0 0 29 2 *"


def script(ctx: Any, tick: ScheduledInput) -> Any:
    """Return what the tick says, through a step."""
    value = yield ctx.step("see", lambda: [tick.scheduled_time.isoformat(), tick.context])
    return value


def untyped(ctx: Any) -> None:
    """Fit no schedule."""


def report(ctx: Any, tick: ScheduledInput) -> str:
    """Return the time."""
    return tick.scheduled_time.isoformat()


def make_engine(stage: Stage, paint: Paint | None = None, **schedule: Any) -> DurableEngine:
    """Return an engine, not launched, that knows the workflow `report`, with a schedule if one is given."""
    engine = stage.make_engine()
    engine.register("report", paint(script) if paint else report, **schedule)
    return engine


def launch(stage: Stage, paint: Paint | None = None, **schedule: Any) -> DurableEngine:
    """Return that engine, launched."""
    engine = make_engine(stage, paint, **schedule)
    engine.launch()
    return engine


def runs(stage: Stage, name: str = "report") -> list[str]:
    """Return the ids of a schedule's runs, in order."""
    return sorted(row.workflow_id for row in stage.rows() if row.schedule_name == name)


@pytest.mark.covers(142)
def test_a_declared_schedule_runs_by_itself_once_a_tick(stage: Stage, paint: Paint) -> None:
    engine = launch(stage, paint, schedule="* * * * * *", timezone="Asia/Kathmandu")

    ids = eventually(lambda: runs(stage) if len(runs(stage)) >= 2 else [])

    assert len(set(ids)) == len(ids)
    seen, context = engine.retrieve_workflow(ids[0]).get_result(PATIENCE)
    assert (context, seen[-6:]) == (None, "+05:45")
    assert ids[0] == f"sched-report-{datetime.fromisoformat(seen).astimezone(UTC).isoformat()}"


@pytest.mark.covers(143)
def test_a_schedule_is_made_listed_shown_and_deleted(stage: Stage) -> None:
    engine = launch(stage)
    engine.register_queue(WorkflowQueue("q"))

    made = engine.create_schedule(
        "weekly", "report", "0 0 9 * * mon", timezone="Europe/Berlin", context={"a": 1}, catch_up=True, queue="q"
    )
    engine.create_schedule("daily", report_of(engine), "0 0 3 * * *", overlap="skip")

    assert engine.get_schedule("weekly") == made
    assert [(each.name, each.overlap) for each in engine.list_schedules()] == [("daily", "skip"), ("weekly", "allow")]
    assert (made.workflow, made.cron, made.timezone, made.context) == (
        "report",
        "0 0 9 * * mon",
        "Europe/Berlin",
        {"a": 1},
    )
    assert (made.catch_up, made.queue, made.is_paused, made.last_fired) == (True, "q", False, None)
    assert made.next_fire is not None
    assert (made.next_fire.isoweekday(), made.next_fire.hour, made.next_fire.tzinfo) == (1, 9, BERLIN)
    engine.delete_schedule("weekly")
    assert [each.name for each in engine.list_schedules()] == ["daily"]


def report_of(engine: DurableEngine) -> Any:
    """Return the workflow as its decorator returns it."""
    return engine.register("report", report)


@pytest.mark.covers(143)
def test_a_taken_name_is_refused(stage: Stage) -> None:
    engine = launch(stage)
    made = engine.create_schedule("daily", "report", NEVER_SOON)

    with pytest.raises(ScheduleConflict, match="'daily' is taken"):
        engine.create_schedule("daily", "report", "* * * * * *")

    assert engine.list_schedules() == [made]


def test_what_cannot_be_meant_is_refused(stage: Stage) -> None:
    engine = launch(stage)
    engine.register("untyped", untyped)

    for error, call in (
        (InvalidArgument, lambda: engine.create_schedule("x", "report", "0 3 * * *")),
        (InvalidArgument, lambda: engine.create_schedule("x", "report", NEVER_SOON, timezone="Berlin")),
        (InvalidArgument, lambda: engine.create_schedule("x", "report", NEVER_SOON, overlap="perhaps")),
        (InvalidArgument, lambda: engine.create_schedule("", "report", NEVER_SOON)),
        (InvalidArgument, lambda: engine.create_schedule("x", "untyped", NEVER_SOON)),
        (WorkflowNotRegistered, lambda: engine.create_schedule("x", "nobody", NEVER_SOON)),
        (QueueNotFound, lambda: engine.create_schedule("x", "report", NEVER_SOON, queue="nowhere")),
        (SerializationError, lambda: engine.create_schedule("x", "report", NEVER_SOON, context={1, 2})),
        (ScheduleNotFound, lambda: engine.get_schedule("x")),
        (ScheduleNotFound, lambda: engine.pause_schedule("x")),
        (ScheduleNotFound, lambda: engine.resume_schedule("x")),
        (ScheduleNotFound, lambda: engine.delete_schedule("x")),
        (ScheduleNotFound, lambda: engine.trigger_schedule("x")),
        (ScheduleNotFound, lambda: engine.backfill_schedule("x", datetime.now(UTC), datetime.now(UTC))),
    ):
        with pytest.raises(error):
            call()
    assert engine.list_schedules() == []


@pytest.mark.covers(143)
def test_a_paused_schedule_does_not_fire_and_a_resumed_one_does(stage: Stage) -> None:
    engine = launch(stage)
    engine.create_schedule("often", "report", "* * * * * *", catch_up=True)
    eventually(lambda: runs(stage, "often"))

    engine.pause_schedule("often")
    paused = runs(stage, "often")
    held_at = clock.monotonic()
    eventually(lambda: clock.monotonic() - held_at > 2.2)
    assert len(runs(stage, "often")) <= len(paused) + 1
    assert engine.get_schedule("often").is_paused
    assert engine.get_schedule("often").next_fire is None
    before = runs(stage, "often")
    engine.resume_schedule("often")

    after = eventually(lambda: [each for each in runs(stage, "often") if each not in before])
    first, last = (datetime.fromisoformat(each[-25:]) for each in (after[0], before[-1]))
    assert first - last >= timedelta(seconds=2)


@pytest.mark.covers(148)
def test_a_trigger_starts_a_run_now_also_of_a_paused_schedule(stage: Stage, paint: Paint) -> None:
    engine = launch(stage, paint)
    engine.create_schedule("rare", "report", NEVER_SOON, timezone="Europe/Berlin", context=[1])
    engine.pause_schedule("rare")

    handles = [engine.trigger_schedule("rare") for _ in range(3)]

    results = [handle.get_result(PATIENCE) for handle in handles]
    assert len({handle.id for handle in handles}) == 3
    for handle, (seen, context) in zip(handles, results, strict=True):
        moment = datetime.fromisoformat(seen)
        assert context == [1]
        assert moment.utcoffset() == moment.astimezone(BERLIN).utcoffset()
        assert handle.id == f"sched-rare-trigger-{moment.astimezone(UTC).isoformat(timespec='milliseconds')}"
    assert engine.get_schedule("rare").last_fired is None


@pytest.mark.covers(146)
def test_a_backfill_runs_each_tick_between_two_instants_once(stage: Stage, paint: Paint) -> None:
    engine = launch(stage, paint)
    engine.create_schedule("nightly", "report", "0 30 2 * * *", timezone="Europe/Berlin")
    begin, end = datetime(2026, 10, 24, 2, 30, tzinfo=BERLIN), datetime(2026, 10, 27, 2, 30, tzinfo=BERLIN)

    handles = engine.backfill_schedule("nightly", begin, end)

    assert [handle.get_result(PATIENCE)[0] for handle in handles] == [
        "2026-10-24T02:30:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    assert [handle.id for handle in handles] == [
        "sched-nightly-2026-10-24T00:30:00+00:00",
        "sched-nightly-2026-10-25T00:30:00+00:00",
        "sched-nightly-2026-10-26T01:30:00+00:00",
    ]
    again = engine.backfill_schedule("nightly", begin, end + timedelta(seconds=1))
    assert [handle.id for handle in again][:3] == [handle.id for handle in handles]
    assert len(again) == 4
    again[3].get_result(PATIENCE)
    assert [row.attempts for row in stage.rows()] == [1] * 4


@pytest.mark.covers(146)
def test_a_backfill_takes_instants_with_a_zone_and_a_bounded_number_of_ticks(stage: Stage) -> None:
    engine = launch(stage)
    engine.create_schedule("often", "report", "* * * * * *")
    engine.pause_schedule("often")
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(InvalidArgument, match=r"start=.*time zone"):
        engine.backfill_schedule("often", begin.replace(tzinfo=None), begin)
    with pytest.raises(InvalidArgument, match=r"end=.*time zone"):
        engine.backfill_schedule("often", begin, begin.replace(tzinfo=None))
    with pytest.raises(InvalidArgument, match=f"more than {BACKFILL_TICKS_MAX} ticks"):
        engine.backfill_schedule("often", begin, begin + timedelta(seconds=BACKFILL_TICKS_MAX + 1))
    with pytest.raises(InvalidArgument, match="within the calendar"):
        engine.backfill_schedule("often", datetime.min.replace(tzinfo=UTC), begin)
    with pytest.raises(InvalidArgument, match="must not be before the start"):
        engine.backfill_schedule("often", begin + timedelta(days=1), begin)
    assert engine.backfill_schedule("often", begin, begin) == []
    assert runs(stage, "often") == []


def test_a_backfill_leaves_out_what_is_not_due_yet(stage: Stage) -> None:
    engine = launch(stage)
    engine.create_schedule("often", "report", "* * * * * *")
    engine.pause_schedule("often")
    begin = datetime.now(UTC) - timedelta(seconds=2)

    handles = engine.backfill_schedule("often", begin, begin + timedelta(hours=1))

    assert 2 <= len(handles) < 60


@pytest.mark.covers(144)
def test_a_declaration_changes_what_stands_and_leaves_a_pause_and_the_last_tick(stage: Stage) -> None:
    first = launch(stage, schedule="* * * * * *")
    eventually(lambda: runs(stage))
    first.pause_schedule("report")
    last_fired = first.get_schedule("report").last_fired
    first.close()

    second = launch(stage, schedule="0 0 4 * * *", timezone="Europe/Berlin", overlap="skip")

    [stored] = second.list_schedules()
    assert (stored.cron, stored.timezone, stored.overlap, stored.is_paused) == (
        "0 0 4 * * *",
        "Europe/Berlin",
        "skip",
        True,
    )
    assert stored.last_fired == last_fired
    assert last_fired is not None


@pytest.mark.covers(144)
def test_a_schedule_whose_declaration_is_gone_is_left_alone(stage: Stage) -> None:
    launch(stage, schedule=NEVER_SOON).close()

    second = launch(stage)

    assert [stored.name for stored in second.list_schedules()] == ["report"]


@pytest.mark.covers(144)
def test_many_launch_at_once_and_one_schedule_stands(stage: Stage) -> None:
    engines = [make_engine(stage, schedule="* * * * * *") for _ in range(3)]

    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(lambda engine: engine.launch(), engines))

    assert len(engines[0].list_schedules()) == 1
    eventually(lambda: len(runs(stage)) >= 2)
    eventually(lambda: all(row.status is Status.SUCCESS for row in stage.rows()) or None)
    assert [row.attempts for row in stage.rows()] == [1] * len(stage.rows())


def test_a_declaration_of_another_application_s_name_is_refused(stage: Stage) -> None:
    launch(stage, schedule=NEVER_SOON)
    other = stage.make_engine(app_name="other")
    other.register("report", report, schedule=NEVER_SOON)

    with pytest.raises(ScheduleConflict, match="application 'durust'"):
        other.launch()


def test_a_declaration_on_an_unknown_queue_is_refused(stage: Stage) -> None:
    engine = make_engine(stage, schedule=NEVER_SOON, queue="nowhere")

    with pytest.raises(QueueNotFound):
        engine.launch()


@pytest.mark.covers(149)
def test_runs_of_a_schedule_go_through_its_queue(stage: Stage) -> None:
    engine = make_engine(stage, schedule="* * * * * *", queue="narrow")
    engine.register_queue(WorkflowQueue("narrow", worker_concurrency=1))
    engine.launch()

    [first, *_] = eventually(lambda: runs(stage))

    engine.retrieve_workflow(first).get_result(PATIENCE)
    assert stage.row(first).queue == "narrow"


def test_no_run_meets_another_where_overlaps_are_skipped(stage: Stage) -> None:
    def slow(ctx: Any, tick: ScheduledInput) -> None:
        ctx.sleep(2.5)

    engine = stage.make_engine()
    engine.register("slow", slow, schedule="* * * * * *", overlap="skip")
    engine.launch()

    eventually(lambda: len(runs(stage, "slow")) >= 2)

    first, second = (datetime.fromisoformat(each[-25:]) for each in runs(stage, "slow")[:2])
    assert second - first >= timedelta(seconds=2)


def test_runs_in_turn_never_meet_and_none_is_left_out(stage: Stage) -> None:
    running: list[str] = []
    met: list[list[str]] = []

    def work(name: str) -> None:
        running.append(name)
        met.append(list(running))
        clock.pause(0.3)
        running.remove(name)

    def slow(ctx: Any, tick: ScheduledInput) -> None:
        ctx.step("work", work, ctx.workflow_id)

    engine = stage.make_engine()
    engine.register("slow", slow)
    engine.launch()
    engine.create_schedule("slow", "slow", NEVER_SOON, overlap="queue")
    begin = datetime(1996, 2, 29, tzinfo=UTC)

    handles = engine.backfill_schedule("slow", begin, datetime(2024, 3, 1, tzinfo=UTC))

    assert len(handles) == 8
    for handle in [*handles, engine.trigger_schedule("slow")]:
        handle.get_result(PATIENCE)
    assert met == [[each] for each in [one[0] for one in met]]
    assert len(met) == 9
    assert [one[0] for one in met][:8] == [handle.id for handle in handles]


@pytest.mark.covers(151)
def test_an_engine_with_a_far_schedule_closes_at_once(stage: Stage) -> None:
    engine = launch(stage, schedule=NEVER_SOON)
    line = stage.line_of(engine)
    eventually(lambda: line.calls["schedules"] >= 1)
    began = clock.monotonic()

    engine.close()

    assert clock.monotonic() - began < 5


@pytest.mark.covers(145)
def test_a_changed_schedule_takes_effect_without_a_restart(stage: Stage) -> None:
    engine = launch(stage)
    engine.create_schedule("changing", "report", NEVER_SOON)
    engine.delete_schedule("changing")

    engine.create_schedule("changing", "report", "* * * * * *")

    # Far sooner than the scheduler would look by itself.
    eventually(lambda: runs(stage, "changing"), timeout=10)


def test_the_awaiting_view_does_the_same(stage: Stage) -> None:
    engine = launch(stage)
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    async def use() -> None:
        view = engine.aio
        made = await view.create_schedule("daily", "report", "0 0 3 * * *", context=1, overlap="skip")
        assert await view.list_schedules() == [made] == [await view.get_schedule("daily")]
        await view.pause_schedule("daily")
        assert (await view.get_schedule("daily")).is_paused
        await view.resume_schedule("daily")
        assert not (await view.get_schedule("daily")).is_paused
        assert await (await view.trigger_schedule("daily"))
        handles = await view.backfill_schedule("daily", begin, begin + timedelta(days=1))
        assert [await handle for handle in handles] == ["2026-01-01T03:00:00+00:00"]
        await view.delete_schedule("daily")
        assert await view.list_schedules() == []

    asyncio.run(use())
