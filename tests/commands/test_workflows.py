"""`durust workflow`: lists, one workflow, its steps, and orders to many."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from durust.commands.picture import bar
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import (
    NAME,
    cancel,
    commit,
    finish,
    history,
    make_claimed,
    make_enqueued,
    record_step,
    row_of,
    start,
)

# Programs read them, so they stay.
WORKFLOW_KEYS = [
    "id",
    "name",
    "status",
    "queue",
    "priority",
    "partition",
    "dedup_id",
    "app",
    "version",
    "executor",
    "attempts",
    "created",
    "started",
    "completed",
    "seconds",
    "delay_until",
    "timeout_seconds",
    "deadline",
    "timed_out",
    "parent",
    "forked_from",
    "schedule",
    "user",
    "roles",
    "attributes",
]
VALUE_KEYS = ["input", "output", "error", "serialization", "code", "why", "children", "waits", "steps"]
STEP_KEYS = ["step", "name", "status", "started", "ended", "seconds", "child", "output", "error"]


def test_a_list_is_json_with_keys_that_stay(answer: Answer, provider: StateProvider) -> None:
    make_enqueued(provider, "a")

    [row] = answer("workflow", "list")

    assert list(row) == WORKFLOW_KEYS
    assert (row["id"], row["status"], row["queue"], row["executor"]) == ("a", "ENQUEUED", "work", None)
    assert row["created"].endswith("+00:00")


def test_a_list_shows_the_newest_first_and_no_more_than_its_limit(durust: Durust, provider: StateProvider) -> None:
    for name in "abc":
        make_enqueued(provider, name)

    newest = durust("workflow", "list", "-o", "ids", "--limit", "2")
    oldest = durust("workflow", "list", "-o", "ids", "--oldest-first", "--offset", "1")
    table = durust("workflow", "list", "-o", "table", "--limit", "2")

    assert newest.stdout.split() == ["c", "b"]
    assert oldest.stdout.split() == ["b", "c"]
    assert table.stderr == "durust: there are more: --limit 4, or --offset 2\n"


FOUND_BY = {
    "--status pending": ["claimed"],
    "--status PENDING --status ENQUEUED": ["claimed", "other", "queued"],
    "--name other": ["other"],
    "--queue work": ["other", "queued"],
    "--executor first": ["claimed"],
    "--prefix cl": ["claimed"],
    "--since 1h": ["claimed", "other", "queued"],
    "--until 1h": [],
    "--until 2026-01-01T00:00Z": [],
    "--all-apps": ["claimed", "foreign", "other", "queued"],
    "--app-name shop": ["foreign"],
    "--user ada --user bob": ["other"],
    "--attribute vip=true --attribute town=Paris": ["other"],
    "--attribute vip=false": [],
    "--partition a": ["other"],
    "--priority 3 --priority 4": ["other"],
    "--completed-since 1h": [],
    "--started-since 1h": ["claimed"],
}


def test_a_list_is_filtered(durust: Durust, provider: StateProvider) -> None:
    make_enqueued(provider, "queued")
    make_enqueued(
        provider,
        "other",
        name="other",
        authenticated_user="ada",
        attributes='{"vip": true, "town": "Paris"}',
        partition_key="a",
        priority=3,
    )
    make_enqueued(provider, "foreign", app_name="shop", queue="shop")
    make_claimed(provider, "claimed")

    listed = {filters: durust("workflow", "list", "-o", "ids", *filters.split()).stdout for filters in FOUND_BY}

    assert {filters: sorted(ids.split()) for filters, ids in listed.items()} == FOUND_BY


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--status", "RUNNING"], "'RUNNING' is not one of"),
        (["--since", "yesterday"], "'yesterday' is no instant; write 90s, 12h or 30d for so long ago"),
        (["--since", "2026-01-01"], "'2026-01-01' names no zone; write 2026-01-01T00:00Z for UTC"),
        (["--limit", "0"], "0 is not in the range x>=1"),
        (["-o", "xml"], "'xml' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_a_matter_of_usage(durust: Durust, wrong: list[str], said: str) -> None:
    refused = durust("workflow", "list", *wrong)

    assert refused.exit_code == 2
    assert said in refused.stderr


def test_names_are_shown_as_they_are(durust: Durust, provider: StateProvider) -> None:
    make_enqueued(provider, "[/red]a", name="[bold]ship")

    shown = durust("workflow", "list", "-o", "table").stdout

    assert "[/red]a" in shown
    assert "[bold]ship" in shown


def test_a_narrow_terminal_shows_ids_in_one_piece(durust: Durust, provider: StateProvider) -> None:
    made = make_enqueued(provider, queue="a queue of a rather long name")

    shown = durust("workflow", "list", "-o", "table", env={"COLUMNS": "80"}).stdout

    assert f"\n{made}  {NAME}" in shown
    assert "  ENQUEUED  " in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_an_id_that_leaves_no_room_for_the_rest_is_broken_and_not_cut_off(
    durust: Durust, provider: StateProvider
) -> None:
    make_enqueued(provider, "an-id-of-its-own-kind-" * 4, queue="mail")

    shown = durust("workflow", "list", "-o", "table", env={"COLUMNS": "80"}).stdout

    assert "".join(re.findall(r"^\S+", shown, re.MULTILINE)).count("kind") == 4
    assert "mail" in shown


def test_one_workflow_is_shown_with_its_values_and_its_steps(answer: Answer, provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 1, name="charge", output='{"cents": 1999}'))
    commit(provider, record_step(claimed, 2, after=1, name="ship", output=None, error='{"message": "no"}'))
    commit(provider, finish(claimed, after=2, output='"thank you"'))

    shown = answer("workflow", "show", "a")

    assert list(shown) == WORKFLOW_KEYS + VALUE_KEYS
    assert (shown["input"], shown["output"], shown["code"]) == (["a"], "thank you", "succeeded")
    assert [list(step) for step in shown["steps"]] == [STEP_KEYS] * 2
    assert [(step["name"], step["status"], step["output"]) for step in shown["steps"]] == [
        ("charge", "SUCCESS", {"cents": 1999}),
        ("ship", "ERROR", None),
    ]
    assert answer("workflow", "steps", "a") == shown["steps"]


def test_a_terminal_sees_steps_as_bars_on_one_axis(durust: Durust, provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    begin = row_of(provider, "a").started_at_ms or 0
    times = {"started_at_ms": begin, "completed_at_ms": begin + 100}
    commit(provider, record_step(claimed, 1, name="charge", **times))

    shown = durust("workflow", "show", "a", "-o", "table").stdout

    assert shown.startswith("workflow 'a' is running on executor first (pid 4711 on host 'host'); its last recorded")
    [line] = [line for line in shown.splitlines() if "charge" in line and "█" in line]
    assert "0.100" in line


@pytest.mark.parametrize(
    ("begin", "end", "drawn"),
    [
        (0, 10, "█         "),
        (0, 100, "██████████"),
        (50, 60, "     █    "),
        (99, 99, "         █"),
        (100, 100, "         █"),
        (0, 1, "█         "),
        (90, 500, "         █"),
        (-5, 5, "█         "),
    ],
)
def test_a_bar_stands_where_its_step_stood_in_time(begin: int, end: int, drawn: str) -> None:
    assert bar(begin, end, 100, 10, is_failed=False).plain.ljust(10) == drawn


def test_a_workflow_that_is_not_there_has_an_exit_code(durust: Durust, provider: StateProvider) -> None:
    refused = [durust("workflow", command, "gone") for command in ("show", "steps", "why", "cancel", "resume")]

    assert [each.exit_code for each in refused] == [3] * 5
    assert all("there is no workflow 'gone'" in each.stderr for each in refused)


def test_many_are_cancelled_by_standard_input_and_the_rest_is_told(durust: Durust, provider: StateProvider) -> None:
    make_enqueued(provider, "queued")
    claimed = make_claimed(provider, "ended")
    commit(provider, finish(claimed))
    commit(provider, start("before"))
    commit(provider, cancel("before"))

    told = durust("workflow", "cancel", "-", stdin="queued\nended\n\nbefore\ngone\nqueued\n")

    assert told.exit_code == 0
    assert json.loads(told.stdout) == {
        "cancelled": ["queued"],
        "unchanged": ["before"],
        "refused": {"ended": "it has ended with SUCCESS"},
        "missing": ["gone"],
    }
    assert "ended is left as it is: it has ended with SUCCESS" in told.stderr
    assert row_of(provider, "queued").status is Status.CANCELLED


def test_what_was_cancelled_is_resumed(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    commit(provider, start("a"))
    commit(provider, cancel("a"))
    commit(provider, finish(make_claimed(provider, "ended")))

    assert answer("workflow", "resume", "a")["resumed"] == ["a"]

    assert row_of(provider, "a").status is Status.ENQUEUED
    assert answer("workflow", "resume", "a")["unchanged"] == ["a"]
    assert durust("workflow", "resume", "ended").exit_code == 4
    assert durust("workflow", "cancel", "ended").exit_code == 4


def test_children_are_cancelled_on_request(durust: Durust, provider: StateProvider) -> None:
    commit(provider, finish(make_claimed(provider, "parent")))
    make_enqueued(provider, "child", parent_id="parent")
    make_enqueued(provider, "grandchild", parent_id="child")

    assert durust("workflow", "cancel", "parent").exit_code == 4
    told = durust("workflow", "cancel", "parent", "--children")

    assert json.loads(told.stdout) == {
        "cancelled": ["child", "grandchild"],
        "unchanged": [],
        "refused": {"parent": "it has ended with SUCCESS"},
        "missing": [],
    }
    assert [row_of(provider, name).status for name in ("child", "grandchild")] == [Status.CANCELLED] * 2


def make_failed(provider: StateProvider, name: str) -> None:
    claimed = make_claimed(provider, name)
    commit(provider, record_step(claimed, 1), record_step(claimed, 2, after=1, output=None, error='{"message": "no"}'))
    commit(provider, finish(claimed, Status.ERROR, after=2, output='{"message": "no"}'))


def test_what_failed_is_forked_at_the_step_that_failed(answer: Answer, provider: StateProvider) -> None:
    make_failed(provider, "a")
    make_enqueued(provider, "queued")

    told = answer("workflow", "fork", "-", stdin="a\nqueued\ngone\n")

    [fork] = told["workflows"]
    assert (told["forked"], told["missing"]) == (["a"], ["gone"])
    assert told["refused"] == {"queued": "it is ENQUEUED and has not failed, so say --step"}
    assert row_of(provider, fork).forked_from == "a"
    assert [step.place for step in history(provider, fork)] == [1]


def test_a_fork_may_be_told_its_id_its_step_and_its_queue(durust: Durust, provider: StateProvider) -> None:
    make_failed(provider, "a")

    words = ("--id", "b", "--step", "1", "--queue", "slow", "--timeout", "90s", "-o", "ids")
    told = durust("workflow", "fork", "a", *words)

    row = row_of(provider, "b")
    assert (told.exit_code, told.stdout) == (0, "b\n")
    assert (row.queue, row.timeout_ms, history(provider, "b")) == ("slow", 90_000, [])
    assert durust("workflow", "fork", "a", "c", "--id", "d").exit_code == 2
    assert durust("workflow", "fork", "gone", "--id", "d").exit_code == 3
    make_enqueued(provider, "taken")
    assert durust("workflow", "fork", "a", "--id", "taken").exit_code == 4


def test_what_is_deleted_is_gone(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    make_enqueued(provider, "child", parent_id="a")

    told = answer("workflow", "delete", "a", "gone", "--children")

    assert (told["deleted"], told["missing"]) == (["a", "child"], ["gone"])
    assert answer("workflow", "list") == []
    assert durust("workflow", "delete", "a").exit_code == 3


def test_nothing_on_standard_input_is_nothing_to_do(answer: Answer, provider: StateProvider) -> None:
    told = answer("workflow", "cancel", "-", stdin="")

    assert told["cancelled"] == []


def test_more_than_one_batch_is_cancelled(answer: Answer, provider: StateProvider) -> None:
    ids = [f"w{number:04}" for number in range(1001)]
    commit(provider, *(start(name, name=NAME) for name in ids))

    assert answer("workflow", "cancel", "-", stdin="\n".join(ids))["cancelled"] == ids


def test_a_damaged_line_says_how_many_before_it_were_entered(
    durust: Durust, provider: StateProvider, tmp_path: Path
) -> None:
    make_failed(provider, "a")
    make_failed(provider, "b")
    other = ("--db", f"sqlite:///{tmp_path}/other.db")
    durust("db", "migrate", *other)
    written = durust("workflow", "export", "a", "b").stdout

    refused = durust("workflow", "import", *other, stdin=written[:-10])

    assert refused.exit_code == 2
    assert refused.stderr.startswith("durust: line=2: is no document of a workflow: ")
    assert refused.stderr.endswith("; what stood before it is imported: 1\n")


def test_workflows_move_as_documents_one_a_line(
    answer: Answer, durust: Durust, provider: StateProvider, tmp_path: Path
) -> None:
    make_failed(provider, "a")
    make_enqueued(provider, "b")

    written = durust("workflow", "export", "a", "gone", "b")
    other = ("--db", f"sqlite:///{tmp_path}/other.db")
    durust("db", "migrate", *other)
    told = answer("workflow", "import", *other, stdin=written.stdout)
    again = durust("workflow", "import", *other, stdin=written.stdout)

    assert (written.exit_code, written.stderr) == (0, "durust: there is no workflow 'gone'\n")
    assert told["imported"] == ["a", "b"]
    assert answer("workflow", "steps", "a", *other) == answer("workflow", "steps", "a")
    assert (again.exit_code, list(json.loads(again.stdout)["refused"])) == (4, ["line 1", "line 2"])
    assert durust("workflow", "import", *other, stdin='{"no": 1}').exit_code == 2
    assert durust("workflow", "import", *other, stdin="no").exit_code == 2
    assert durust("workflow", "import", *other, stdin="[" * 100_000).exit_code == 2
    assert durust("workflow", "export", "gone").exit_code == 3
