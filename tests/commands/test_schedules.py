"""`durust schedule`: lists, pauses, runs of ticks and beside them."""

from __future__ import annotations

from durust import DurableClient
from durust.storage.provider import StateProvider
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import row_of

SCHEDULE_KEYS = [
    "name",
    "workflow",
    "cron",
    "timezone",
    "paused",
    "catch_up",
    "overlap",
    "queue",
    "context",
    "last",
    "next",
]


def make_schedule(provider: StateProvider, name: str = "nightly") -> None:
    with DurableClient(provider) as client:
        client.create_schedule(name, "report", "0 0 3 * * *", context={"to": "ada"})


def test_schedules_are_listed(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    make_schedule(provider)

    [row] = answer("schedule", "list")

    assert list(row) == SCHEDULE_KEYS
    assert (row["name"], row["workflow"], row["context"], row["last"]) == ("nightly", "report", {"to": "ada"}, None)
    assert row["next"].endswith("T03:00:00.000+00:00")
    assert durust("schedule", "list", "-o", "ids").stdout == "nightly\n"


def test_a_list_of_schedules_is_narrowed(durust: Durust, provider: StateProvider) -> None:
    make_schedule(provider)
    with DurableClient(provider) as client:
        client.create_schedule("hourly", "measure", "0 0 * * * *", queue="mail")
    durust("schedule", "pause", "nightly")

    listed = [
        durust("schedule", "list", "-o", "ids", *filters).stdout
        for filters in (
            ["--paused"],
            ["--prefix", "hour"],
            ["--workflow", "report"],
            ["--queue", "mail"],
            ["--queue", "no"],
        )
    ]

    assert listed == ["nightly\n", "hourly\n", "nightly\n", "hourly\n", ""]


def test_schedules_are_paused_and_resumed(answer: Answer, provider: StateProvider) -> None:
    make_schedule(provider)

    assert answer("schedule", "pause", "nightly", "gone")["missing"] == ["gone"]

    assert [(row["paused"], row["next"]) for row in answer("schedule", "list")] == [(True, None)]
    assert answer("schedule", "pause", "nightly")["unchanged"] == ["nightly"]
    assert answer("schedule", "resume", "-", stdin="nightly")["resumed"] == ["nightly"]
    assert answer("schedule", "resume", "nightly")["unchanged"] == ["nightly"]
    assert [row["paused"] for row in answer("schedule", "list")] == [False]


def test_a_trigger_prints_the_run_that_it_started(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    make_schedule(provider)

    told = answer("schedule", "trigger", "nightly")
    [run] = durust("schedule", "trigger", "nightly", "-o", "ids").stdout.split()

    assert (told["triggered"], row_of(provider, told["workflows"][0]).name) == (["nightly"], "report")
    assert row_of(provider, run).schedule_name == "nightly"


def test_a_backfill_starts_a_run_for_each_tick_once(answer: Answer, provider: StateProvider) -> None:
    make_schedule(provider)
    days = ("--from", "2026-01-01T00:00Z", "--to", "2026-01-03T05:00+01:00")

    told = [answer("schedule", "backfill", "nightly", *days) for _ in range(2)]

    assert [len(each["workflows"]) for each in told] == [3, 3]
    assert told[0] == told[1]
    assert len(answer("workflow", "list", "--name", "report")) == 3


def test_what_cannot_be_meant_has_an_exit_code(durust: Durust, provider: StateProvider) -> None:
    make_schedule(provider)

    assert durust("schedule", "backfill", "nightly", "--from", "1h", "--to", "2026-01-01T00:00Z").exit_code == 2
    assert durust("schedule", "backfill", "nightly").exit_code == 2
    assert (
        durust("schedule", "backfill", "nightly", "--from", "2026-01-03T00:00Z", "--to", "2026-01-01T00:00Z").exit_code
        == 2
    )
    assert durust("schedule", "trigger", "gone").exit_code == 3
    assert (
        durust("schedule", "backfill", "gone", "--from", "2026-01-01T00:00Z", "--to", "2026-01-02T00:00Z").exit_code
        == 3
    )
