"""Failpoints do what their text says, as often as it says, and refuse a text that cannot be meant."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from durust import clock, failpoints
from durust.errors import InvalidArgument
from durust.failpoints import EXIT_CODE_DEFAULT, USAGE_EXIT_CODE, FailpointError, arm, failpoint
from tests.support.processes import Spawn

# Reaches a failpoint three times and tells how often it got past it.
PROGRAM = """
from durust.failpoints import failpoint
for number in range(3):
    print(f"reached {number}")
    failpoint("here")
failpoint("there")
print("through")
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def hits(count: int, name: str = "here") -> list[bool]:
    return [failpoint(name) for _ in range(count)]


def test_nothing_happens_where_nothing_is_armed() -> None:
    assert hits(3) == [False] * 3


def test_only_the_named_place_acts() -> None:
    arm("here=return")

    assert failpoint("here")
    assert not failpoint("there")


def test_off_does_nothing() -> None:
    arm("here=off")

    assert hits(3) == [False] * 3


def test_raise_raises_its_message() -> None:
    arm("here=raise(out of paper);there=raise")

    with pytest.raises(FailpointError, match=r"^out of paper$"):
        failpoint("here")
    with pytest.raises(FailpointError, match="there"):
        failpoint("there")


def test_sleep_pauses_for_its_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(clock, "pause", pauses.append)
    arm("here=1*sleep(250)->sleep(0.5)")

    assert hits(2) == [False, False]
    assert pauses == [0.25, 0.0005]


def test_a_count_bounds_how_often_a_term_acts() -> None:
    arm("here=2*return")

    assert hits(4) == [True, True, False, False]


def test_a_chain_goes_on_to_its_next_term() -> None:
    arm("here=2*off->return")

    assert hits(5) == [False, False, True, True, True]


def test_a_long_chain_is_done_in_order() -> None:
    arm("here=1*return->2*off->1*return->off")

    assert hits(6) == [True, False, False, True, False, False]


def test_spaces_around_terms_and_entries_mean_nothing() -> None:
    arm(" here = 1*off -> return ; ; there=return ")

    assert hits(2) == [False, True]
    assert failpoint("there")


def test_many_threads_share_one_count() -> None:
    arm("here=50*return->off")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: failpoint("here"), range(400)))

    assert sum(answers) == 50


def test_no_percent_acts_never_and_all_percent_always() -> None:
    arm("here=0%return;there=100%return")

    assert hits(200) == [False] * 200
    assert hits(200, "there") == [True] * 200


def test_a_percentage_acts_in_that_share_of_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = iter([0.0, 0.099, 0.1, 0.5, 0.999])
    monkeypatch.setattr(clock, "jitter", lambda: next(dice))
    arm("here=10%return")

    assert hits(5) == [True, True, False, False, False]


def test_a_percentage_counts_only_the_hits_that_act(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = iter([0.9, 0.0, 0.9, 0.0, 0.0])
    monkeypatch.setattr(clock, "jitter", lambda: next(dice))
    arm("here=50%2*return")

    assert hits(5) == [False, True, False, True, False]


def test_arming_replaces_what_was_armed() -> None:
    arm("here=return")

    arm("there=return")

    assert not failpoint("here")
    assert failpoint("there")


@pytest.mark.parametrize(
    "text",
    [
        "here",
        "=kill",
        "here=",
        "here=explode",
        "here=KILL",
        "here=kill->",
        "here=->kill",
        "here=x*kill",
        "here=2*",
        "here=-1*off",
        "here=10%",
        "here=101%return",
        "here=x%return",
        "here=2*10%return",
        "here=raise(a",
        "here=exit(soon)",
        "here=exit(1.5)",
        "here=sleep(soon)",
        "here=sleep(-1)",
        "here=sleep(nan)",
        "here=return;there",
    ],
)
def test_a_text_that_cannot_be_meant_is_refused_and_changes_nothing(text: str) -> None:
    arm("here=return")

    with pytest.raises(InvalidArgument, match="FAILPOINTS="):
        arm(text)

    assert failpoint("here")


def test_kill_kills_the_process_at_once(spawn: Spawn) -> None:
    process = spawn("-c", PROGRAM, env={"FAILPOINTS": "here=kill"})

    assert process.wait() == -signal.SIGKILL
    assert process.stdout.split("\n") == ["reached 0", ""]


def test_a_chain_kills_at_its_third_hit(spawn: Spawn) -> None:
    process = spawn("-c", PROGRAM, env={"FAILPOINTS": "here=2*off->kill"})

    assert process.wait() == -signal.SIGKILL
    assert process.stdout.split("\n") == ["reached 0", "reached 1", "reached 2", ""]


@pytest.mark.parametrize(("action", "code"), [("exit", EXIT_CODE_DEFAULT), ("exit(7)", 7), ("exit(0)", 0)])
def test_exit_ends_the_process_from_any_thread(spawn: Spawn, action: str, code: int) -> None:
    in_thread = f"import threading\nthreading.Thread(target=exec, args=({PROGRAM!r},)).start()\n"

    process = spawn("-c", in_thread, env={"FAILPOINTS": f"here={action}"})

    assert process.wait() == code
    assert process.stdout == "reached 0\n"


def test_a_bad_variable_is_one_line_and_the_exit_code_of_misuse(spawn: Spawn) -> None:
    process = spawn("-c", PROGRAM, env={"FAILPOINTS": "here=explode"})

    assert process.wait() == USAGE_EXIT_CODE
    assert process.stdout == ""
    assert process.stderr.startswith("durust: FAILPOINTS='here=explode'")
    assert process.stderr.count("\n") == 1


def test_the_trace_holds_each_place_that_was_reached(spawn: Spawn, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    process = spawn("-c", PROGRAM, env={"FAILPOINTS": "", "FAILPOINTS_TRACE": str(trace)})

    assert process.wait() == 0
    assert process.stdout.endswith("through\n")
    assert trace.read_text().splitlines() == ["here", "here", "here", "there"]


def test_the_trace_of_several_processes_holds_whole_lines(spawn: Spawn, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = "from durust.failpoints import failpoint\nfor _ in range(2000): failpoint('a-rather-long-name')"

    processes = [spawn("-c", program, env={"FAILPOINTS_TRACE": str(trace)}) for _ in range(3)]

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert trace.read_text().splitlines() == ["a-rather-long-name"] * 6000


def test_a_place_that_is_traced_also_acts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(failpoints, "_trace", str(tmp_path / "trace"))
    arm("here=return")

    assert failpoint("here")
    assert (tmp_path / "trace").read_text() == "here\n"
