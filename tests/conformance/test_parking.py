"""A run that is set aside or given back costs no attempt, and leaves nothing that could still write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE, Fenced, HandBack, HistoryLost, ParkWorkflow, Recorded
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    commit,
    commit_one,
    finish,
    hand_back,
    history,
    make_claimed,
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
from tests.conformance.conftest import Rewrite


def test_a_parked_run_waits_until_its_instant_without_an_owner(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", priority=3, dedup_id="once")
    before = row_of(provider, "a")

    outcome = commit_one(provider, park(claimed, until_ms=9_000_000_000_000))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after.updated_at_ms >= before.updated_at_ms
    assert after == replace(
        before,
        status=Status.DELAYED,
        executor_id=None,
        token=None,
        attempts=0,
        started_at_ms=None,
        delay_until_ms=9_000_000_000_000,
        updated_at_ms=after.updated_at_ms,
    )


def test_a_run_whose_instant_is_over_when_it_parks_is_queued_at_once(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    before = row_of(provider, "a")

    outcome = commit_one(provider, park(claimed, until_ms=1))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after == replace(
        before,
        status=Status.ENQUEUED,
        executor_id=None,
        token=None,
        attempts=0,
        started_at_ms=None,
        updated_at_ms=after.updated_at_ms,
    )


def test_a_run_that_is_handed_back_waits_in_its_queue(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", priority=3, dedup_id="once")
    before = row_of(provider, "a")

    outcome = commit_one(provider, hand_back(claimed))

    after = row_of(provider, "a")
    assert outcome == Recorded()
    assert after == replace(
        before,
        status=Status.ENQUEUED,
        executor_id=None,
        token=None,
        attempts=0,
        started_at_ms=None,
        updated_at_ms=after.updated_at_ms,
    )


@pytest.mark.parametrize("make", [park, hand_back])
def test_a_run_without_a_queue_goes_to_the_internal_one(provider: StateProvider, make: type[HandBack]) -> None:
    lease = make_started(provider, "a")

    commit(provider, make(lease))

    row = row_of(provider, "a")
    assert (row.queue, row.attempts) == (INTERNAL_QUEUE, 0)


def test_a_parked_run_is_claimed_again_when_it_is_due_with_its_history(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 1))
    commit(provider, record_sleep(claimed, 2, after=1, seconds=0.001))
    commit(provider, park(claimed, after=2))
    rewrite("a", delay_until_epoch_ms=1)
    swept = sweep(provider)

    [again] = provider.claim(want(make_executor(provider, "second"), claimed.queue or ""))

    assert swept.due == 1
    assert (again.attempts, [step.place for step in again.history]) == (1, [1, 2])
    assert commit_one(provider, finish(again, after=2)) == Recorded()


@pytest.mark.parametrize("make", [park, hand_back])
def test_a_lost_lease_neither_parks_nor_hands_back(provider: StateProvider, make: type[HandBack]) -> None:
    claimed = make_claimed(provider, "a", by="first")
    reclaim(provider, claimed.lease, by="second")
    before = row_of(provider, "a")

    outcome = commit_one(provider, make(claimed.lease))

    assert outcome == Fenced(holder="second")
    assert row_of(provider, "a") == before


@pytest.mark.parametrize("make", [park, hand_back])
@pytest.mark.parametrize("change", [{"token": "x"}, {"executor_id": "x"}])
def test_token_and_executor_must_both_be_those_of_the_row(
    provider: StateProvider, make: type[HandBack], change: dict[str, Any]
) -> None:
    claimed = make_claimed(provider, "a", by="first")
    before = row_of(provider, "a")

    outcome = commit_one(provider, make(replace(claimed.lease, **change)))

    assert outcome == Fenced(holder="first")
    assert row_of(provider, "a") == before


@pytest.mark.parametrize("make", [park, hand_back])
def test_a_workflow_that_does_not_exist_is_fenced(provider: StateProvider, make: type[HandBack]) -> None:
    assert commit_one(provider, make(Lease("nowhere", "first", "token"))) == Fenced(holder=None)


@pytest.mark.parametrize("make", [park, hand_back])
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_repeated_one_finds_no_owner_and_costs_nothing(
    provider: StateProvider, make: type[HandBack], times: str
) -> None:
    write = make(make_claimed(provider, "a").lease)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Fenced(holder=None)]
    assert row_of(provider, "a").attempts == 0


def test_a_park_whose_predecessor_is_gone_changes_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    before = row_of(provider, "a")

    outcome = commit_one(provider, park(claimed, after=1))

    assert outcome == HistoryLost()
    assert row_of(provider, "a") == before


def test_a_run_that_lost_history_is_handed_back(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 2, after=1))

    assert commit_one(provider, hand_back(claimed)) == Recorded()


@pytest.mark.parametrize("make", [park, hand_back])
def test_nothing_is_recorded_by_a_run_that_was_set_aside(provider: StateProvider, make: type[HandBack]) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, make(claimed.lease))

    outcomes = commit(provider, record_step(claimed), finish(claimed))

    assert outcomes == [Fenced(holder=None), Fenced(holder=None)]
    assert history(provider, "a") == []


def test_a_batch_keeps_the_records_of_the_run_that_it_parks(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")

    outcomes = commit(provider, park(claimed), record_step(claimed))

    assert outcomes == [Recorded(), Recorded()]


def test_a_run_parks_again_and_again_without_an_attempt(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    queue = claimed.queue or ""
    attempts = []

    for _ in range(3):
        assert commit_one(provider, park(claimed, until_ms=1)) == Recorded()
        [claimed] = provider.claim(want("first", queue))
        attempts.append(claimed.attempts)

    assert attempts == [1, 1, 1]


def test_many_runs_park_in_one_batch_each_until_its_own_instant(provider: StateProvider) -> None:
    runs = [make_claimed(provider, f"run {number}") for number in range(10)]
    writes: list[ParkWorkflow] = [park(run, until_ms=9_000_000_000_000 + n) for n, run in enumerate(runs)]

    outcomes = commit(provider, *writes, park(Lease("nowhere", "first", "token")))

    assert outcomes == [Recorded()] * 10 + [Fenced(holder=None)]
    assert [row_of(provider, f"run {n}").delay_until_ms for n in range(10)] == [write.until_ms for write in writes]
