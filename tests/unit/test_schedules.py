"""How schedules are declared and what they hand to their runs, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

import durust
from durust.codec import PORTABLE_JSON, Codec, Shape
from durust.decorators import scheduled
from durust.engine import registry
from durust.engine.registry import Definition, Registry
from durust.errors import InvalidArgument
from durust.model.records import ScheduleRow
from durust.model.schedules import NAME_MAX, ScheduleDefinition, ScheduledInput, inputs_of, tick_id, trigger_id

if TYPE_CHECKING:
    from durust import ScheduledInput as OnlyWhenChecked

DAILY = ScheduleDefinition(cron="0 0 3 * * *")


def takes_a_tick(ctx: Any, tick: ScheduledInput) -> None:
    """Fit."""


async def takes_a_tick_later(ctx: Any, tick: ScheduledInput) -> None:
    """Fit too."""


def takes_what_is_plain(ctx: Any, tick: dict[str, Any], more: int = 1) -> None:
    """Fit as well."""


def takes_nothing(ctx: Any) -> None:
    """Misfit."""


def takes_two(ctx: Any, tick: ScheduledInput, more: int) -> None:
    """Misfit."""


def takes_a_name(ctx: Any, *, tick: ScheduledInput) -> None:
    """Misfit."""


def takes_anything(ctx: Any, tick) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  what is tested
    """Misfit."""


def takes_what_is_not_there(ctx: Any, tick: OnlyWhenChecked) -> None:
    """Misfit."""


@pytest.mark.parametrize("fn", [takes_a_tick, takes_a_tick_later, takes_what_is_plain])
def test_a_workflow_that_takes_a_tick_can_be_scheduled(fn: Any) -> None:
    assert Definition("daily", fn, schedule=DAILY).schedule == DAILY


@pytest.mark.covers(149)
@pytest.mark.parametrize(
    "fn", [takes_nothing, takes_two, takes_a_name, takes_anything, takes_what_is_not_there], ids=lambda fn: fn.__name__
)
def test_a_workflow_that_cannot_take_exactly_a_tick_is_refused(fn: Any) -> None:
    with pytest.raises(InvalidArgument, match="def f\\(ctx, tick: ScheduledInput\\)"):
        Definition("daily", fn, schedule=DAILY)


def test_a_decorated_workflow_declares_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durust.decorators.REGISTRY", Registry())

    decorated = durust.workflow(
        name="nightly", schedule="0 0 3 * * *", timezone="Europe/Berlin", catch_up=True, overlap="skip", queue="q"
    )(takes_a_tick)

    wanted = ScheduleDefinition(cron="0 0 3 * * *", timezone="Europe/Berlin", catch_up=True, overlap="skip", queue="q")
    assert decorated.definition.schedule == wanted
    assert "nightly" not in registry.REGISTRY.names()


@pytest.mark.covers(143)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cron", "0 3 * * *"),
        ("timezone", "Berlin"),
        ("catch_up", "yes"),
        ("overlap", "wait"),
        ("queue", ""),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument):
        ScheduleDefinition(**({"cron": "0 0 3 * * *"} | {name: value}))


def test_runs_in_turn_need_no_queue_of_their_own() -> None:
    with pytest.raises(InvalidArgument, match="concurrency of 1 on 'q'"):
        ScheduleDefinition(cron="0 0 3 * * *", overlap="queue", queue="q")


def test_options_without_a_schedule_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"timezone=.UTC.*give schedule="):
        scheduled(None, timezone="UTC", catch_up=None)


def test_a_name_that_leaves_no_room_for_a_time_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most"):
        Definition("n" * (NAME_MAX + 1), takes_a_tick, schedule=DAILY)


def test_a_schedule_is_no_part_of_a_version() -> None:
    assert Definition("daily", takes_a_tick, schedule=DAILY).version == Definition("daily", takes_a_tick).version


def test_ids_of_runs_hold_an_instant_in_utc() -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2)))

    assert tick_id("nightly", moment) == "sched-nightly-2026-10-25T00:30:00+00:00"
    assert trigger_id("nightly", moment) == "sched-nightly-trigger-2026-10-25T00:30:00.000+00:00"


@pytest.mark.parametrize("context", [None, {"a": [1, 2.5, "ö\U0001f600"]}, 'it\'s "quoted"', 2**80])
def test_a_tick_survives_the_way_through_its_row(context: Any) -> None:
    row = make_row(context=Codec().dump(context).text or "null")
    moment = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    text = inputs_of(row, moment)

    [tick], named = Codec().load_arguments(text, PORTABLE_JSON, Shape.of(takes_a_tick, skip_first=True))
    assert (tick, named) == (ScheduledInput(moment, context), {})
    assert tick.scheduled_time.isoformat() == "2026-10-25T02:30:00+02:00"
    assert Codec().dump_arguments(Shape.of(takes_a_tick, skip_first=True), (tick,), {})


@pytest.mark.parametrize("context", ["", "nonsense", "NaN", "gASVBAAAAAAAAABLAYWULg=="])
def test_a_context_that_is_no_json_is_not_handed_on(context: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        inputs_of(make_row(context=context), datetime(2026, 10, 25, tzinfo=UTC))


def make_row(**fields: Any) -> ScheduleRow:
    """Return a stored schedule."""
    values: dict[str, Any] = {
        "schedule_id": "id",
        "name": "nightly",
        "workflow": "daily",
        "cron": "0 30 2 * * *",
        "zone": "Europe/Berlin",
        "context": "null",
        "status": "ACTIVE",
        "catch_up": False,
        "queue": None,
        "app_name": "durust",
        "last_fired_at": None,
    }
    return ScheduleRow(**(values | fields))
