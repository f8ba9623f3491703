"""A run ends once, by the hand that owns it, and what ended never changes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from durust.model.claims import Claimed
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import Fenced, HistoryLost, Outcome, Recorded, Refused, Retire, Write
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    FORMAT,
    commit,
    commit_one,
    finish,
    hand_back,
    history,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    reclaim,
    record_sleep,
    record_step,
    row_of,
    sweep,
    want,
)

ENDS = [Status.SUCCESS, Status.ERROR, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED]


@pytest.mark.parametrize("status", ENDS)
def test_a_run_ends_with_what_it_was_given(provider: StateProvider, status: Status) -> None:
    claimed = make_claimed(provider, "a")

    outcome = commit_one(provider, finish(claimed, status, output='"it"'))

    row = row_of(provider, "a")
    assert outcome == Recorded()
    assert (row.status, row.serialization) == (status, FORMAT)
    assert (row.output, row.error) == (('"it"', None) if status is Status.SUCCESS else (None, '"it"'))
    assert row.completed_at_ms == row.updated_at_ms
    assert (row.completed_at_ms or 0) >= (row.started_at_ms or 0) > 0
    assert (row.executor_id, row.token, row.attempts) == ("first", claimed.lease.token, 1)


def test_a_run_may_end_without_a_value(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")

    outcome = commit_one(provider, finish(claimed, output=None))

    assert outcome == Recorded()
    assert row_of(provider, "a").output is None


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.PENDING, Status.DELAYED, Status.ENQUEUED])
def test_a_run_cannot_end_in_another_state(provider: StateProvider, status: Status) -> None:
    claimed = make_claimed(provider, "a")

    outcomes = commit(provider, finish(claimed, status), record_step(claimed))

    assert isinstance(outcomes[0], Refused)
    assert outcomes[1] == Recorded()
    assert row_of(provider, "a").status is Status.PENDING


@pytest.mark.covers(69)
def test_a_lost_lease_ends_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", by="first")
    again = reclaim(provider, claimed.lease, by="second")
    before = row_of(provider, "a")

    outcome = commit_one(provider, finish(claimed))

    assert outcome == Fenced(holder="second")
    assert row_of(provider, "a") == before
    assert before.token == again.lease.token


@pytest.mark.parametrize("change", [{"token": "x"}, {"executor_id": "x"}])
def test_token_and_executor_must_both_be_those_of_the_row(provider: StateProvider, change: dict[str, Any]) -> None:
    claimed = make_claimed(provider, "a", by="first")
    before = row_of(provider, "a")

    outcome = commit_one(provider, finish(replace(claimed.lease, **change)))

    assert outcome == Fenced(holder="first")
    assert row_of(provider, "a") == before


def test_a_queued_workflow_cannot_be_ended(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, hand_back(claimed))

    outcome = commit_one(provider, finish(claimed))

    assert outcome == Fenced(holder=None)
    assert row_of(provider, "a").status is Status.ENQUEUED


@pytest.mark.covers(69)
def test_a_workflow_that_does_not_exist_cannot_be_ended(provider: StateProvider) -> None:
    assert commit_one(provider, finish(Lease("nowhere", "first", "token"))) == Fenced(holder=None)


def test_a_run_that_lost_history_does_not_end(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 1))

    outcome = commit_one(provider, finish(claimed, after=2))

    assert outcome == HistoryLost()
    assert row_of(provider, "a").status is Status.PENDING


def test_a_run_ends_after_its_last_record(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 1))

    outcome = commit_one(provider, finish(claimed, after=1))

    assert outcome == Recorded()


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_an_end_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    write = finish(make_claimed(provider, "a"))

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert row_of(provider, "a").output == '"done"'


def test_a_batch_keeps_the_records_of_the_run_that_it_ends(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")

    outcomes = commit(provider, finish(claimed), record_sleep(claimed, 2), record_step(claimed, 1))

    assert [type(outcome) for outcome in outcomes] == [Recorded] * 3
    assert {step.place for step in history(provider, "a")} == {1, 2}
    assert row_of(provider, "a").status is Status.SUCCESS


def test_many_runs_end_in_one_batch_each_with_its_own_result(provider: StateProvider) -> None:
    runs = [make_claimed(provider, f"run {number}") for number in range(20)]
    stale = reclaim(provider, make_claimed(provider, "stale", by="other").lease, by="second")

    outcomes = commit(
        provider,
        *(finish(run, ENDS[number % 3], output=f"{number}") for number, run in enumerate(runs)),
        finish(replace(stale.lease, token="x")),
    )

    assert outcomes == [Recorded()] * 20 + [Fenced(holder="second")]
    rows = [row_of(provider, f"run {number}") for number in range(20)]
    assert [row.output or row.error for row in rows] == [str(number) for number in range(20)]
    assert [row.status for row in rows] == [ENDS[number % 3] for number in range(20)]


Attempt = Callable[[Claimed], Write]


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize(
    "attempt",
    [
        record_step,
        record_sleep,
        park,
        hand_back,
        lambda of: finish(of, Status.ERROR, output='"other"'),
        lambda of: Retire((of.lease.executor_id,), "killed"),
    ],
    ids=["record", "sleep", "park", "hand back", "finish", "retire"],
)
def test_what_ended_never_changes(provider: StateProvider, status: Status, attempt: Attempt) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 7), finish(claimed, status))
    before = row_of(provider, "a"), history(provider, "a")

    commit(provider, attempt(claimed))

    assert (row_of(provider, "a"), history(provider, "a")) == before


def test_what_ended_is_neither_claimed_nor_swept(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    [claimed] = provider.claim(want(make_executor(provider, "first")))
    commit(provider, finish(claimed))
    lapse(provider, "first")
    before = row_of(provider, "a")

    swept = sweep(provider)

    assert (swept.reaped, swept.released, swept.orphans) == (("first",), 0, 0)
    assert provider.claim(want(make_executor(provider, "second"))) == []
    assert row_of(provider, "a") == before


def test_a_direct_start_ends_like_a_claimed_run(provider: StateProvider) -> None:
    lease = make_started(provider, "a")

    outcomes: list[Outcome] = commit(provider, finish(lease))

    assert outcomes == [Recorded()]
    assert row_of(provider, "a").queue is None
