"""An executor lives while it beats, and what it held goes back when it is retired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    Alive,
    Beat,
    DrainExecutor,
    Fenced,
    Missing,
    Recorded,
    Released,
    Retire,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    LONG_SECONDS,
    VERSION,
    commit,
    commit_one,
    executor,
    finish,
    history,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    record_step,
    register,
    row_of,
    want,
)


def test_a_registered_executor_lives_with_a_lease(provider: StateProvider) -> None:
    outcome = commit_one(provider, register("first", supervisor="boss", pid=17, pid_started=8.25, ttl_seconds=60))

    row = executor(provider, "first")
    assert outcome == Recorded()
    assert (row.executor_id, row.supervisor_id, row.state) == ("first", "boss", "LIVE")
    assert (row.host, row.boot_id, row.pid_ns, row.pid, row.pid_started) == ("host", "boot", "pid:[1]", 17, 8.25)
    assert (row.app_name, row.app_version, row.ended_at_ms, row.why) == (APP, VERSION, None, None)
    assert 30 < row.lease_seconds_left <= 60
    assert row.registered_at_ms > 0


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_registration_that_is_sent_twice_changes_nothing(provider: StateProvider, times: str) -> None:
    first, second = register("first", pid=1), register("first", pid=2, ttl_seconds=10 * LONG_SECONDS)

    outcomes = (
        commit(provider, first, second)
        if times == "in one"
        else [commit_one(provider, first), commit_one(provider, second)]
    )

    row = executor(provider, "first")
    assert outcomes == [Recorded(), Recorded()]
    assert (row.pid, row.lease_seconds_left <= LONG_SECONDS) == (1, True)


@pytest.mark.covers(65)
def test_a_dead_executor_stays_dead_when_it_registers_again(provider: StateProvider) -> None:
    make_executor(provider, "first")
    commit(provider, Retire(("first",), "killed"))

    outcome = commit_one(provider, register("first"))

    assert outcome == Recorded()
    assert executor(provider, "first").state == "DEAD"


def test_a_beat_renews_the_leases_of_those_that_are_not_dead(provider: StateProvider) -> None:
    for name in ("live", "draining", "dead"):
        make_executor(provider, name, ttl_seconds=60)
    commit(provider, DrainExecutor("draining"), Retire(("dead",), "killed"))

    outcome = commit_one(provider, Beat(("live", "draining", "dead", "unknown"), 3_600))

    assert outcome == Alive(frozenset({"live", "draining"}))
    left = [executor(provider, name).lease_seconds_left for name in ("live", "draining", "dead")]
    assert [seconds > 3_000 for seconds in left] == [True, True, False]


def test_a_late_beat_still_renews_a_lease_that_nobody_reaped(provider: StateProvider) -> None:
    make_executor(provider, "first")
    lapse(provider, "first")

    outcome = commit_one(provider, Beat(("first",), LONG_SECONDS))

    assert outcome == Alive(frozenset({"first"}))
    assert executor(provider, "first").lease_seconds_left > 0


def test_a_beat_of_nobody_renews_nobody(provider: StateProvider) -> None:
    assert commit_one(provider, Beat((), LONG_SECONDS)) == Alive(frozenset())


def test_beats_of_several_supervisors_share_a_batch(provider: StateProvider) -> None:
    make_executor(provider, "first")
    make_executor(provider, "second")
    first, second = Beat(("first", "unknown"), 60), Beat(("second", "first"), 60)

    outcomes = commit(provider, first, second, first)

    assert outcomes == [Alive(frozenset({"first"})), Alive(frozenset({"first", "second"})), Alive(frozenset({"first"}))]


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_draining_executor_drains_once(provider: StateProvider, times: str) -> None:
    make_executor(provider, "first")
    write = DrainExecutor("first")

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert executor(provider, "first").state == "DRAINING"


def test_neither_a_dead_nor_an_unknown_executor_drains(provider: StateProvider) -> None:
    make_executor(provider, "first")
    commit(provider, Retire(("first",), "killed"))

    outcomes = commit(provider, DrainExecutor("first"), DrainExecutor("unknown"))

    assert outcomes == [Missing(), Missing()]
    assert executor(provider, "first").state == "DEAD"


def test_a_draining_executor_finishes_what_it_runs(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    commit(provider, DrainExecutor("first"))

    outcomes = commit(provider, record_step(claimed), finish(claimed))

    assert outcomes == [Recorded(), Recorded()]


def test_retiring_declares_dead_and_says_why(provider: StateProvider) -> None:
    make_executor(provider, "first")

    outcome = commit_one(provider, Retire(("first",), "killed by signal 9"))

    row = executor(provider, "first")
    assert outcome == Released((), frozenset())
    assert (row.state, row.why) == ("DEAD", "killed by signal 9")
    assert (row.ended_at_ms or 0) >= row.registered_at_ms


def test_what_a_crash_released_changed_only_its_state_its_owner_and_its_start(provider: StateProvider) -> None:
    make_enqueued(provider, "a", priority=3, dedup_id="once")
    [claimed] = provider.claim(want(make_executor(provider, "first")))
    commit(provider, record_step(claimed))
    before, steps = row_of(provider, "a"), history(provider, "a")

    outcome = commit_one(provider, Retire(("first",), "killed"))

    assert outcome == Released(("a",), frozenset({"work"}))
    assert row_of(provider, "a") == replace(
        before, status=Status.ENQUEUED, executor_id=None, token=None, started_at_ms=None
    )
    assert history(provider, "a") == steps
    assert before.attempts == 1


def test_a_direct_start_that_crashed_goes_to_the_internal_queue(provider: StateProvider) -> None:
    make_started(provider, "a", by="first")
    before = row_of(provider, "a")

    outcome = commit_one(provider, Retire(("first",), "killed"))

    assert outcome == Released(("a",), frozenset({INTERNAL_QUEUE}))
    assert row_of(provider, "a") == replace(
        before, status=Status.ENQUEUED, executor_id=None, token=None, queue=INTERNAL_QUEUE
    )


@pytest.mark.covers(52)
def test_only_the_running_work_of_the_retired_is_released(provider: StateProvider) -> None:
    held = [make_claimed(provider, name, by=by).lease for name, by in (("a", "first"), ("b", "second"))]
    kept = make_claimed(provider, "c", by="third")
    ended = make_claimed(provider, "d", by="first")
    commit(provider, finish(ended))

    [outcome] = commit(provider, Retire(("first", "second"), "killed"))

    assert isinstance(outcome, Released)
    assert set(outcome.workflow_ids) == {lease.workflow_id for lease in held}
    assert commit_one(provider, record_step(kept)) == Recorded()
    assert row_of(provider, "d").status is Status.SUCCESS


@pytest.mark.covers(52)
def test_retiring_again_releases_nothing_and_keeps_the_first_reason(provider: StateProvider) -> None:
    make_claimed(provider, "a", by="first")
    commit(provider, Retire(("first",), "killed"))
    before = executor(provider, "first")

    outcome = commit_one(provider, Retire(("first",), "again"))

    after = executor(provider, "first")
    assert outcome == Released((), frozenset())
    assert (after.why, after.ended_at_ms) == (before.why, before.ended_at_ms)


def test_retiring_twice_in_one_batch_answers_both(provider: StateProvider) -> None:
    make_claimed(provider, "a", by="first")
    make_claimed(provider, "b", by="second")

    outcomes = commit(provider, Retire(("first",), "killed"), Retire(("first", "second"), "again"))

    assert [outcome.workflow_ids for outcome in outcomes if isinstance(outcome, Released)] == [("a",), ("b",)]
    assert [executor(provider, name).why for name in ("first", "second")] == ["killed", "again"]


def test_retiring_the_unknown_is_harmless(provider: StateProvider) -> None:
    assert commit_one(provider, Retire(("unknown",), "killed")) == Released((), frozenset())


def test_a_retired_executor_writes_nothing_more(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", by="first")
    commit(provider, Retire(("first",), "killed"))

    outcomes = commit(provider, record_step(claimed), finish(claimed), Beat(("first",), 60))

    assert outcomes == [Fenced(holder=None), Fenced(holder=None), Alive(frozenset())]


def test_a_batch_keeps_what_its_run_wrote_before_it_retires_the_executor(provider: StateProvider) -> None:
    done, open_ = make_claimed(provider, "a", by="first"), make_claimed(provider, "b", by="first")

    outcomes = commit(provider, Retire(("first",), "drained"), finish(done), record_step(open_))

    assert outcomes[1:] == [Recorded(), Recorded()]
    assert isinstance(outcomes[0], Released)
    assert outcomes[0].workflow_ids == ("b",)
