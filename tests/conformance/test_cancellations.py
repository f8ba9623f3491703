"""A cancelled workflow has no owner and never a result; a resumed one goes on as if nothing had ended it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust import clock
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    Existing,
    Fenced,
    Missing,
    Recorded,
    StartWorkflow,
    Unexpired,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    cancel,
    commit,
    commit_one,
    expire,
    finish,
    hand_back,
    history,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    record_step,
    resume,
    row_of,
    start,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite

HOUR_MS = 3_600_000
ENDS = [Status.SUCCESS, Status.ERROR]


def make_ended(provider: StateProvider, status: Status) -> str:
    """Run a workflow to its end and return its id."""
    claimed = make_claimed(provider, "a")
    assert commit_one(provider, finish(claimed, status)) == Recorded()
    return "a"


def make_waiting(provider: StateProvider, status: Status, **fields: Any) -> str:
    """Return the id of a workflow that has not ended, or was set aside."""
    match status:
        case Status.DELAYED:
            make_enqueued(provider, "a", delay_seconds=600, **fields)
        case Status.ENQUEUED:
            make_enqueued(provider, "a", **fields)
        case Status.PENDING:
            make_claimed(provider, "a", **fields)
        case _:
            commit(provider, finish(make_claimed(provider, "a", **fields), status))
    assert row_of(provider, "a").status is status
    return "a"


@pytest.mark.covers(136)
@pytest.mark.protocol("4.cancel")
@pytest.mark.parametrize(
    "status", [Status.DELAYED, Status.ENQUEUED, Status.PENDING, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED]
)
def test_a_cancel_ends_what_has_no_result_and_takes_its_owner_away(provider: StateProvider, status: Status) -> None:
    make_waiting(provider, status, priority=3, dedup_id="once", timeout_ms=HOUR_MS)
    before = row_of(provider, "a")

    outcome = commit_one(provider, cancel("a"))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after.completed_at_ms == after.updated_at_ms >= before.updated_at_ms
    assert after == replace(
        before,
        status=Status.CANCELLED,
        executor_id=None,
        token=None,
        dedup_id=None,
        started_at_ms=None,
        delay_until_ms=None,
        completed_at_ms=after.completed_at_ms,
        updated_at_ms=after.updated_at_ms,
    )
    assert not after.is_timed_out


@pytest.mark.covers(131)
@pytest.mark.parametrize("status", ENDS)
def test_a_workflow_that_has_a_result_keeps_it(provider: StateProvider, status: Status) -> None:
    make_ended(provider, status)
    before = row_of(provider, "a")

    outcomes = commit(provider, cancel("a"), resume("a"))

    bare = replace(before, inputs=None, output=None, error=None)
    assert outcomes == [Existing(bare), Existing(bare)]
    assert row_of(provider, "a") == before


def test_what_is_cancelled_already_is_answered_with_its_row(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    commit(provider, cancel("a"))
    before = row_of(provider, "a")

    outcome = commit_one(provider, cancel("a"))

    assert outcome == Existing(replace(before, inputs=None))
    assert row_of(provider, "a") == before


@pytest.mark.covers(130)
def test_a_missing_workflow_stops_none_of_its_neighbours(provider: StateProvider) -> None:
    for name in "abc":
        make_enqueued(provider, name)

    cancelled = commit(provider, cancel("b"), cancel("nobody"), cancel("a"), cancel("b"))
    resumed = commit(provider, resume("nobody"), resume("b"), resume("c"))

    assert cancelled[:3] == [Recorded(), Missing(), Recorded()]
    assert isinstance(cancelled[3], Existing)
    assert resumed[:2] == [Missing(), Recorded()]
    assert isinstance(resumed[2], Existing)
    assert [row_of(provider, name).status for name in "abc"] == [Status.CANCELLED, Status.ENQUEUED, Status.ENQUEUED]


@pytest.mark.covers(131)
def test_nothing_that_a_cancelled_run_writes_counts(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", timeout_ms=HOUR_MS)
    commit(provider, record_step(claimed, 1))
    commit(provider, cancel("a"))
    before = row_of(provider, "a")

    outcomes = commit(
        provider,
        record_step(claimed, 2, after=1),
        finish(claimed, after=1),
        park(claimed, after=1),
        hand_back(claimed),
        expire(claimed),
    )

    assert outcomes == [Fenced()] * 5
    assert row_of(provider, "a") == before
    assert [step.place for step in history(provider, "a")] == [1]


@pytest.mark.covers(94)
def test_a_cancelled_workflow_is_neither_claimed_nor_swept_nor_released(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    make_claimed(provider, "b", by="first")
    commit(provider, cancel("a"), cancel("b"))
    lapse(provider, "first")

    swept = sweep(provider)

    assert (swept.due, swept.timed_out, swept.released, swept.orphans) == (0, 0, 0, 0)
    assert provider.claim(want(make_executor(provider, "second"))) == []


@pytest.mark.covers(83)
def test_a_cancel_frees_the_deduplication_id_and_a_resume_does_not_take_it_back(provider: StateProvider) -> None:
    make_enqueued(provider, "a", dedup_id="once")
    commit(provider, cancel("a"))
    make_enqueued(provider, "b", dedup_id="once")

    outcome = commit_one(provider, resume("a"))

    assert outcome == Recorded()
    assert [row_of(provider, name).dedup_id for name in "ab"] == [None, "once"]


@pytest.mark.covers(57, 86)
@pytest.mark.protocol("4.resume")
@pytest.mark.parametrize("status", [Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Status.DELAYED])
def test_a_resume_queues_a_workflow_as_if_nothing_had_ended_it(provider: StateProvider, status: Status) -> None:
    if status is Status.CANCELLED:
        make_waiting(provider, Status.PENDING, priority=3, dedup_id="once", timeout_ms=HOUR_MS)
        commit(provider, cancel("a"))
    else:
        make_waiting(provider, status, priority=3, dedup_id="once", timeout_ms=HOUR_MS)
    before = row_of(provider, "a")

    outcome = commit_one(provider, resume("a"))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after == replace(
        before,
        status=Status.ENQUEUED,
        executor_id=None,
        token=None,
        attempts=0,
        dedup_id=None,
        started_at_ms=None,
        completed_at_ms=None,
        delay_until_ms=None,
        deadline_ms=None,
        output=None,
        error=None,
        updated_at_ms=after.updated_at_ms,
    )


def test_a_resumed_direct_start_waits_on_the_internal_queue(provider: StateProvider) -> None:
    make_started(provider, "a")

    commit(provider, cancel("a"), resume("a"))

    assert (row_of(provider, "a").status, row_of(provider, "a").queue) == (Status.ENQUEUED, INTERNAL_QUEUE)


@pytest.mark.covers(128)
def test_a_resumed_run_has_its_history_and_its_first_attempt_and_fences_the_one_before(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", by="first")
    commit(provider, record_step(claimed, 1))
    commit(provider, cancel("a"), resume("a"))

    [again] = provider.claim(want("first", claimed.queue or ""))

    assert (again.attempts, [step.place for step in again.history]) == (1, [1])
    assert commit_one(provider, record_step(claimed, 2, after=1)) == Fenced("first")
    assert commit_one(provider, finish(again, after=1)) == Recorded()


def test_a_resume_of_what_is_queued_or_runs_changes_nothing(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    claimed = make_claimed(provider, "b")
    before = [row_of(provider, name) for name in "ab"]

    outcomes = commit(provider, resume("a"), resume("b"))

    assert outcomes == [Existing(replace(row, inputs=None)) for row in before]
    assert commit_one(provider, record_step(claimed, 1)) == Recorded()


def test_a_parked_run_that_is_cancelled_waits_for_nothing_when_it_is_resumed(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, park(claimed))
    commit(provider, cancel("a"))
    assert row_of(provider, "a").delay_until_ms is None

    commit(provider, resume("a"))

    [again] = provider.claim(want("first", claimed.queue or ""))
    assert commit_one(provider, park(again)) == Recorded()
    rewrite("a", delay_until_epoch_ms=1)
    assert sweep(provider).due == 1


# Deadlines


def test_a_timeout_counts_from_the_first_claim_and_a_deadline_stands_at_once(provider: StateProvider) -> None:
    make_enqueued(provider, "a", timeout_ms=HOUR_MS)
    at = clock.now_ms() + HOUR_MS
    make_enqueued(provider, "b", deadline_ms=at)
    assert [row_of(provider, name).deadline_ms for name in "ab"] == [None, at]

    claimed = {one.lease.workflow_id: one for one in provider.claim(want(make_executor(provider, "first")))}

    assert row_of(provider, "a").deadline_ms == claimed["a"].now_ms + HOUR_MS
    assert claimed["a"].left_ms == HOUR_MS
    assert claimed["b"].left_ms == at - claimed["b"].now_ms


@pytest.mark.covers(87, 135)
@pytest.mark.protocol("4.claim.time-left")
def test_a_deadline_stays_over_a_crash_a_park_and_a_hand_back(provider: StateProvider, rewrite: Rewrite) -> None:
    first = make_claimed(provider, "a", by="first", timeout_ms=HOUR_MS)
    deadline = row_of(provider, "a").deadline_ms
    left = []

    for step, leave in enumerate((hand_back, park, None), 1):
        if leave is None:
            lapse(provider, f"by {step - 1}")
            sweep(provider)
        else:
            commit(provider, leave(first))
            rewrite("a", delay_until_epoch_ms=1)
            sweep(provider)
        [first] = provider.claim(want(make_executor(provider, f"by {step}"), first.queue or ""))
        left.append(first.left_ms or 0)
        assert row_of(provider, "a").deadline_ms == deadline

    assert [HOUR_MS - 60_000 < each <= HOUR_MS for each in left] == [True] * 3


def test_the_time_of_a_run_that_is_over_ends_it_at_its_deadline_or_later(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    claimed = make_claimed(provider, "a", dedup_id="once", timeout_ms=HOUR_MS)
    rewrite("a", workflow_deadline_epoch_ms=claimed.now_ms)
    before = row_of(provider, "a")

    outcome = commit_one(provider, expire(claimed))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after == replace(
        before,
        status=Status.CANCELLED,
        executor_id=None,
        token=None,
        dedup_id=None,
        started_at_ms=None,
        completed_at_ms=after.completed_at_ms,
        updated_at_ms=after.updated_at_ms,
    )
    assert after.is_timed_out
    assert commit_one(provider, expire(claimed)) == Fenced()


def test_the_time_of_a_run_that_is_not_over_is_told(provider: StateProvider) -> None:
    with_deadline = make_claimed(provider, "a", timeout_ms=HOUR_MS)
    without = make_claimed(provider, "b")

    told, nothing = commit(provider, expire(with_deadline), expire(without))

    assert isinstance(told, Unexpired)
    assert 0 < (told.left_ms or 0) <= HOUR_MS
    assert nothing == Unexpired(None)
    assert [row_of(provider, name).status for name in "ab"] == [Status.PENDING, Status.PENDING]


@pytest.mark.protocol("4.timeout")
def test_an_old_timer_does_not_hit_a_resumed_run(provider: StateProvider, rewrite: Rewrite) -> None:
    old = make_claimed(provider, "a", by="first", timeout_ms=HOUR_MS)
    rewrite("a", workflow_deadline_epoch_ms=1)
    assert sweep(provider).timed_out == 1
    commit(provider, resume("a"))

    [again] = provider.claim(want("first", old.queue or ""))

    assert again.left_ms == HOUR_MS
    assert commit_one(provider, expire(old)) == Fenced("first")
    assert isinstance(commit_one(provider, expire(again)), Unexpired)
    assert sweep(provider).timed_out == 0


@pytest.mark.protocol("4.timeout")
@pytest.mark.parametrize("status", [Status.ENQUEUED, Status.DELAYED, Status.PENDING])
def test_a_sweep_cancels_what_has_run_out_of_time(provider: StateProvider, status: Status, rewrite: Rewrite) -> None:
    make_waiting(provider, status, dedup_id="once", deadline_ms=clock.now_ms() + HOUR_MS)
    rewrite("a", workflow_deadline_epoch_ms=1)
    before = row_of(provider, "a")

    swept = sweep(provider)

    after = row_of(provider, "a")
    assert (swept.timed_out, swept.next_due_seconds, swept.queues, swept.more) == (1, None, frozenset(), False)
    assert after == replace(
        before,
        status=Status.CANCELLED,
        executor_id=None,
        token=None,
        dedup_id=None,
        started_at_ms=None,
        delay_until_ms=None,
        completed_at_ms=after.completed_at_ms,
        updated_at_ms=after.updated_at_ms,
    )
    assert after.is_timed_out


def test_a_parked_run_that_runs_out_of_time_wakes_no_more(provider: StateProvider, rewrite: Rewrite) -> None:
    claimed = make_claimed(provider, "a", timeout_ms=HOUR_MS)
    commit(provider, park(claimed))
    rewrite("a", workflow_deadline_epoch_ms=1)
    rewrite("a", delay_until_epoch_ms=1)

    swept = sweep(provider)

    assert (swept.timed_out, swept.due) == (1, 0)
    assert row_of(provider, "a").status is Status.CANCELLED


def test_a_sweep_leaves_the_deadlines_of_others_and_of_what_has_ended(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    make_enqueued(provider, "theirs", app_name="theirs", deadline_ms=1)
    make_enqueued(provider, "unnamed", deadline_ms=1, name="unknown")
    rewrite("unnamed", application_name=None)
    done = make_claimed(provider, "done", timeout_ms=HOUR_MS)
    commit(provider, finish(done))
    rewrite("done", workflow_deadline_epoch_ms=1)

    assert sweep(provider).timed_out == 0
    assert row_of(provider, "done").status is Status.SUCCESS
    assert not row_of(provider, "done").is_timed_out


def test_a_sweep_of_deadlines_keeps_to_its_limit_takes_the_oldest_and_says_that_there_is_more(
    provider: StateProvider,
) -> None:
    for number, name in enumerate("abcde"):
        make_enqueued(provider, name, deadline_ms=5 - number)

    first, second, third = (sweep(provider, limit=2) for _ in range(3))

    assert [(swept.timed_out, swept.more) for swept in (first, second, third)] == [(2, True), (2, True), (1, False)]
    assert (first.next_due_seconds, third.next_due_seconds) == (0, None)
    ended = sorted("abcde", key=lambda name: (row_of(provider, name).completed_at_ms or 0, -ord(name)))
    assert ended[0] in "de"
    assert row_of(provider, "a").completed_at_ms == max(row_of(provider, name).completed_at_ms or 0 for name in "abcde")


@pytest.mark.protocol("4.sweep.next-due")
def test_a_sweep_tells_the_nearest_of_delays_and_deadlines(provider: StateProvider) -> None:
    make_enqueued(provider, "a", delay_seconds=600)
    assert 300 < (sweep(provider).next_due_seconds or 0) <= 600

    make_claimed(provider, "b", timeout_ms=60_000)
    assert 30 < (sweep(provider).next_due_seconds or 0) <= 60

    make_enqueued(provider, "c", delay_seconds=20)
    assert 10 < (sweep(provider).next_due_seconds or 0) <= 20


def test_a_deadline_at_the_end_of_time_stops_no_sweep(provider: StateProvider) -> None:
    make_enqueued(provider, "a", deadline_ms=2**63 - 1)

    swept = sweep(provider)

    assert swept.timed_out == 0
    assert (swept.next_due_seconds or 0) > 1e15


def test_what_ends_at_its_deadline_by_a_cancel_after_it_counts_as_timed_out(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    make_enqueued(provider, "early", deadline_ms=clock.now_ms() + HOUR_MS)
    make_enqueued(provider, "late", deadline_ms=1)

    commit(provider, cancel("early"), cancel("late"))

    assert [row_of(provider, name).is_timed_out for name in ("early", "late")] == [False, True]


def test_ids_that_no_database_takes_are_refused_beside_their_neighbours(provider: StateProvider) -> None:
    make_enqueued(provider, "a")

    outcomes = commit(provider, cancel("nul \0"), cancel("a"), resume("lone \ud800"))

    assert [type(outcome).__name__ for outcome in outcomes] == ["Refused", "Recorded", "Refused"]


def test_a_batch_of_each_kind_is_answered_in_its_order(provider: StateProvider) -> None:
    writes: list[StartWorkflow] = [start(name) for name in "abc"]
    claimed = make_claimed(provider, "d", timeout_ms=HOUR_MS)

    outcomes = commit(provider, cancel("a"), resume("b"), *writes, resume("a"), expire(claimed))

    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Recorded",
        "Existing",
        *["Recorded"] * 3,
        "Recorded",
        "Unexpired",
    ]
    statuses = {row.workflow_id: row.status for row in provider.workflows(ListFilter())}
    assert statuses == {
        "a": Status.ENQUEUED,
        "b": Status.ENQUEUED,
        "c": Status.ENQUEUED,
        "d": Status.PENDING,
    }
