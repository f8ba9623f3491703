"""The supervisor's policies, by tables and without a process."""

from __future__ import annotations

from typing import Any

import pytest

from durust.supervisor.exits import WorkerExit, describe
from durust.supervisor.plan import (
    Ask,
    Death,
    Finish,
    GiveUp,
    Kill,
    Living,
    Past,
    Spawn,
    Stacks,
    State,
    Wanted,
    beating,
    outdated,
    plan,
    spawn_at,
)


def wanted(workers: int = 1, **facts: Any) -> Wanted:
    return Wanted(workers=workers, **{"drain_seconds": 30.0, "hang_seconds": 120.0, "lease_seconds": 10.0, **facts})


def make_living(index: int = 0, **facts: Any) -> Living:
    return Living(index=index, **{"pid": 100 + index, "state": State.LIVE, "spawned_at": 0.0, **facts})


def make_death(index: int = 0, **facts: Any) -> Death:
    return Death(index=index, **{"at": 0.0, "lived_seconds": 1.0, "returncode": -9, **facts})


def test_missing_workers_are_started() -> None:
    assert plan(wanted(3), [make_living(1)], Past(), now=0.0) == [Spawn(0), Spawn(2)]


def test_a_healthy_crew_is_left_alone() -> None:
    assert plan(wanted(2), [make_living(0), make_living(1)], Past(), now=1000.0) == []


@pytest.mark.parametrize(
    ("lives", "pause"),
    [
        ([1.0], 0.0),
        ([1.0, 1.0], 0.5),
        ([1.0, 1.0, 1.0], 1.0),
        ([1.0] * 8, 30.0),
        ([1.0] * 3000, 30.0),
        ([1.0, 1.0, 1.0, 60.0], 0.0),
        ([60.0, 1.0, 1.0], 0.5),
    ],
)
def test_quick_deaths_in_a_row_are_answered_by_longer_and_longer_pauses(lives: list[float], pause: float) -> None:
    past = Past(deaths=tuple(make_death(at=5.0, lived_seconds=lived) for lived in lives), has_come_up=True)

    assert spawn_at(0, past) == 5.0 + pause
    assert plan(wanted(1), [], past, now=5.0 + pause - 0.01) == []
    assert plan(wanted(1), [], past, now=5.0 + pause) == [Spawn(0)]


def test_the_pause_of_one_worker_does_not_hold_up_another() -> None:
    past = Past(deaths=(make_death(0), make_death(0)), has_come_up=True)

    assert plan(wanted(2), [], past, now=0.1) == [Spawn(1)]


def test_no_worker_is_started_while_the_database_is_away() -> None:
    deaths = (make_death(returncode=WorkerExit.DATABASE),) * 9

    assert plan(wanted(1), [], Past(deaths=deaths, is_database_away=True), now=1e6) == []


def test_workers_come_back_soon_after_the_database_does() -> None:
    deaths = (make_death(returncode=WorkerExit.DATABASE),) * 9

    assert plan(wanted(1), [], Past(deaths=deaths), now=2.0) == [Spawn(0)]


@pytest.mark.parametrize(
    ("returncode", "code"),
    [(WorkerExit.APPLICATION, 1), (WorkerExit.QUEUE, 3), (WorkerExit.SCHEMA, 1)],
)
def test_a_fault_that_all_workers_would_share_ends_the_supervisor_at_once(returncode: WorkerExit, code: int) -> None:
    past = Past(deaths=(make_death(returncode=returncode, line="module 'shop' does not load"),))

    assert plan(wanted(8), [], past, now=0.0) == [GiveUp(code, "module 'shop' does not load")]


def test_an_application_that_once_loaded_is_tried_again_after_a_pause() -> None:
    deaths = (make_death(returncode=WorkerExit.APPLICATION),) * 2
    past = Past(deaths=deaths, has_loaded=True, has_come_up=True)

    assert plan(wanted(1), [], past, now=0.4) == []
    assert plan(wanted(1), [], past, now=0.5) == [Spawn(0)]


def test_workers_that_never_come_up_are_given_up_after_a_few_starts() -> None:
    deaths = tuple(make_death(index, returncode=-11) for index in (0, 1, 0, 1, 0, 1))

    [verdict] = plan(wanted(2), [], Past(deaths=deaths), now=1e6)

    assert verdict == GiveUp(
        1, "no worker came up in 6 starts, so there will be no more: the last one was killed by SIGSEGV"
    )


def test_workers_that_came_up_once_are_never_given_up() -> None:
    deaths = (make_death(returncode=-11),) * 100

    assert plan(wanted(1), [], Past(deaths=deaths, has_come_up=True), now=1e6) == [Spawn(0)]


def test_a_drain_asks_each_worker_once() -> None:
    draining = wanted(2, drain_since=10.0)
    asked = make_living(1, asked_at=10.0, state=State.DRAINING)

    assert plan(draining, [make_living(0), asked], Past(), now=10.0) == [Ask(0)]


def test_an_order_that_was_not_heard_is_repeated_by_a_signal() -> None:
    draining = wanted(1, drain_since=10.0)
    child = make_living(asked_at=10.0)

    assert plan(draining, [child], Past(), now=10.9) == []
    assert plan(draining, [child], Past(), now=11.0) == [Ask(0, by_signal=True)]


def test_a_worker_that_will_not_drain_is_killed_after_the_deadline_and_a_little_grace() -> None:
    draining = wanted(1, drain_since=0.0)
    child = make_living(state=State.DRAINING, asked_at=0.0)

    assert plan(draining, [child], Past(), now=31.9) == []
    assert plan(draining, [child], Past(), now=32.0) == [Kill(0, "it did not drain within 30 s")]


def test_a_second_signal_asks_again_and_kills_soon() -> None:
    hasty = wanted(1, drain_since=0.0, quick_since=5.0)
    child = make_living(state=State.DRAINING, asked_at=0.0)
    asked = make_living(state=State.DRAINING, asked_at=5.0, is_asked_quick=True)

    assert plan(hasty, [child], Past(), now=5.0) == [Ask(0, quick=True, by_signal=True)]
    assert plan(hasty, [asked], Past(), now=6.9) == []
    assert plan(hasty, [asked], Past(), now=7.0) == [Kill(0, "it did not stop in time")]


def test_a_worker_that_has_just_registered_may_hold_work_and_is_asked() -> None:
    child = make_living(state=State.REGISTERED)

    assert plan(wanted(1, drain_since=0.0), [child], Past(), now=0.0) == [Ask(0)]


def test_a_worker_that_has_not_begun_is_asked_by_a_signal_and_not_waited_for_long() -> None:
    draining = wanted(1, drain_since=0.0)
    child = make_living(state=State.STARTING)
    asked = make_living(state=State.STARTING, asked_at=0.0)

    assert plan(draining, [child], Past(), now=0.0) == [Ask(0, by_signal=True)]
    assert plan(draining, [asked], Past(), now=1.9) == []
    assert plan(draining, [asked], Past(), now=2.0) == [Kill(0, "it had not begun")]


def test_a_quick_end_does_not_wait_at_all_for_a_worker_that_has_not_begun() -> None:
    child = make_living(state=State.STARTING)

    assert plan(wanted(1, drain_since=0.0, quick_since=0.0), [child], Past(), now=0.0) == [Kill(0, "it had not begun")]


def test_a_worker_that_is_ending_is_only_waited_for() -> None:
    child = make_living(state=State.ENDING)

    assert plan(wanted(1, drain_since=0.0), [child], Past(), now=31.9) == []
    assert plan(wanted(1, drain_since=0.0, quick_since=0.0), [child], Past(), now=1.9) == []
    assert plan(wanted(1, drain_since=0.0, quick_since=0.0), [child], Past(), now=2.0) == [
        Kill(0, "it did not stop in time")
    ]


def test_a_drain_ends_when_nobody_is_left_and_starts_nobody() -> None:
    past = Past(deaths=(make_death(returncode=WorkerExit.APPLICATION),))

    assert plan(wanted(4, drain_since=0.0), [], past, now=0.0) == [Finish()]


def test_a_hung_worker_is_asked_for_its_stacks_and_then_killed() -> None:
    hung = make_living(silent_seconds=120.5)
    asked = make_living(silent_seconds=121.5, stacks_at=10.0)

    assert plan(wanted(1), [hung], Past(), now=10.0) == [Stacks(0)]
    assert plan(wanted(1), [asked], Past(), now=10.9) == []
    assert plan(wanted(1), [asked], Past(), now=11.0) == [Kill(0, "it showed no progress for 120 s")]


def test_a_worker_that_is_slow_to_load_is_not_taken_for_a_hung_one() -> None:
    impatient = wanted(1, hang_seconds=2.0)

    assert plan(impatient, [make_living(silent_seconds=59.0, is_mute=True)], Past(), now=0.0) == []
    assert plan(impatient, [make_living(silent_seconds=61.0, is_mute=True)], Past(), now=0.0) == [Stacks(0)]


def test_a_hang_timeout_of_zero_waits_for_ever() -> None:
    assert plan(wanted(1, hang_seconds=0.0), [make_living(silent_seconds=1e9)], Past(), now=0.0) == []


@pytest.mark.protocol("4.beat.reaped-is-killed")
def test_a_worker_whose_beat_did_not_bring_it_back_is_killed_at_once() -> None:
    assert plan(wanted(1), [make_living(is_lost=True)], Past(), now=0.0) == [Kill(0, "its lease was lost")]


@pytest.mark.parametrize("state", [State.REGISTERED, State.ENDING])
def test_a_worker_that_declares_itself_dead_is_not_taken_for_a_lost_one(state: State) -> None:
    assert plan(wanted(1), [make_living(is_lost=True, state=state)], Past(), now=0.0) == []


def test_nothing_is_done_twice_to_a_worker_that_was_killed() -> None:
    dying = make_living(is_lost=True, silent_seconds=1e9, killed_at=1.0)

    assert plan(wanted(1, drain_since=0.0, quick_since=0.0), [dying], Past(), now=1e9) == []


@pytest.mark.protocol("4.beat.listed")
@pytest.mark.parametrize(
    ("facts", "beats"),
    [
        ({}, True),
        ({"state": State.DRAINING}, True),
        ({"state": State.REGISTERED}, True),
        ({"silent_seconds": 60.0}, True),
        ({"state": State.STARTING}, False),
        ({"state": State.ENDING}, False),
        ({"is_stopped": True}, False),
        ({"silent_seconds": 120.1}, False),
        ({"is_lost": True}, False),
        ({"killed_at": 1.0}, False),
    ],
)
def test_beats_are_withheld_from_whoever_may_not_work(facts: dict[str, Any], *, beats: bool) -> None:
    assert beating(wanted(1), [make_living(**facts)]) == ([0] if beats else [])


@pytest.mark.parametrize(
    ("returncode", "said"),
    [
        (-9, "was killed by SIGKILL"),
        (-200, "was killed by signal 200"),
        (0, "ended"),
        (71, "could not load the application"),
        (5, "exited with code 5"),
    ],
)
def test_an_end_is_told_in_words(returncode: int, said: str) -> None:
    assert describe(returncode) == said


@pytest.mark.parametrize(
    ("hang_seconds", "facts", "actions"),
    [
        (120.0, {"silent_seconds": 12.1}, [Kill(0, "it was stopped for longer than its lease")]),
        (120.0, {"silent_seconds": 11.9}, []),
        (120.0, {"silent_seconds": 12.1, "is_stopped": False}, []),
        # Somebody who debugs it has asked for this.
        (0.0, {"silent_seconds": 1000.0}, []),
    ],
)
def test_a_worker_that_stays_stopped_gives_up_what_it_holds(
    hang_seconds: float, facts: dict[str, Any], actions: list[Any]
) -> None:
    child = make_living(**{"is_stopped": True, **facts})

    assert plan(wanted(hang_seconds=hang_seconds), [child], Past(), now=100.0) == actions


def test_workers_that_are_too_many_end_in_order() -> None:
    living = [make_living(index) for index in range(4)]

    assert plan(wanted(2), living, Past(), now=5.0) == [Ask(2), Ask(3)]


def test_a_worker_that_was_asked_to_leave_has_its_own_time() -> None:
    asked = make_living(1, state=State.DRAINING, asked_at=100.0)
    crew = [make_living(0), asked]

    assert plan(wanted(1), crew, Past(), now=131.9) == []
    assert plan(wanted(1), crew, Past(), now=132.0) == [Kill(1, "it did not drain within 30 s")]


def test_a_worker_that_did_not_hear_that_it_should_leave_gets_a_signal() -> None:
    crew = [make_living(0), make_living(1, asked_at=100.0)]

    assert plan(wanted(1), crew, Past(), now=101.0) == [Ask(1, by_signal=True)]


def test_a_worker_that_leaves_is_wanted_again_only_as_a_new_one() -> None:
    crew = [make_living(0), make_living(1, state=State.DRAINING, asked_at=100.0)]

    assert plan(wanted(2), crew, Past(), now=101.0) == []
    assert plan(wanted(2), crew[:1], Past(), now=102.0) == [Spawn(1)]


@pytest.mark.parametrize(("workers", "asked"), [(1, [0]), (2, [0]), (4, [0]), (8, [0, 1]), (16, [0, 1, 2, 3])])
def test_a_quarter_of_the_workers_is_replaced_at_a_time(workers: int, asked: list[int]) -> None:
    crew = [make_living(index) for index in range(workers)]

    assert plan(wanted(workers, recycle_since=50.0), crew, Past(), now=60.0) == [Ask(index) for index in asked]


@pytest.mark.parametrize(
    "replaced",
    [
        [],
        [make_living(0, state=State.STARTING, spawned_at=61.0)],
        [make_living(0, state=State.DRAINING, asked_at=60.0)],
    ],
    ids=["gone", "starting", "draining"],
)
def test_the_next_is_replaced_only_when_the_one_before_is_at_work(replaced: list[Living]) -> None:
    others = [make_living(index) for index in range(1, 4)]

    actions = plan(wanted(4, recycle_since=50.0), [*replaced, *others], Past(), now=62.0)

    assert [action for action in actions if isinstance(action, Ask)] == []


def test_new_workers_are_not_replaced_again() -> None:
    crew = [make_living(0, spawned_at=61.0), make_living(1)]

    assert plan(wanted(2, recycle_since=50.0), crew, Past(), now=62.0) == [Ask(1)]
    assert outdated(wanted(2, recycle_since=50.0), crew) == [1]


def test_an_end_goes_before_a_replacement() -> None:
    crew = [make_living(0), make_living(1)]

    assert plan(wanted(2, recycle_since=50.0, drain_since=60.0), crew, Past(), now=60.0) == [Ask(0), Ask(1)]
