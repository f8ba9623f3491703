"""A step is recorded once, at its place, by the run that owns the workflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust.model.claims import Claimed
from durust.model.records import Checkpoint, Lease
from durust.model.writes import Diverged, Fenced, HistoryLost, Outcome, Recorded
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    FORMAT,
    commit,
    commit_one,
    finish,
    history,
    make_claimed,
    make_started,
    reclaim,
    record_sleep,
    record_step,
    row_of,
)


@pytest.mark.covers(37)
def test_a_step_is_recorded_with_everything_it_was_given(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcome = commit_one(provider, record_step(claimed, 3, name="charge", output="7"))

    assert outcome == Recorded()
    assert history(provider, claimed.lease.workflow_id) == [
        Checkpoint(3, "charge", "7", None, FORMAT, None, 1_003, 2_003, claimed.lease.token)
    ]


def test_a_failed_step_is_recorded_with_its_error(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    commit(provider, record_step(claimed, output=None, error='{"name":"E"}'))

    [step] = history(provider, claimed.lease.workflow_id)
    assert (step.output, step.error) == (None, '{"name":"E"}')


def test_a_directly_started_run_records_steps(provider: StateProvider) -> None:
    lease = make_started(provider)

    outcomes = commit(provider, record_step(lease, 1), record_step(lease, 2))

    assert outcomes == [Recorded(), Recorded()]


def test_a_lost_lease_records_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, record_step(claimed))

    assert outcome == Fenced(holder="second")
    assert history(provider, claimed.lease.workflow_id) == []


def test_an_earlier_claim_of_the_same_executor_records_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    token_of_another_claim = replace(claimed.lease, token="0000000000000000-0000")

    outcome = commit_one(provider, record_step(token_of_another_claim))

    assert outcome == Fenced(holder="first")
    assert history(provider, claimed.lease.workflow_id) == []


def test_a_token_in_the_hands_of_another_executor_records_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")

    outcome = commit_one(provider, record_step(replace(claimed.lease, executor_id="second")))

    assert outcome == Fenced(holder="first")
    assert history(provider, claimed.lease.workflow_id) == []


def test_an_ended_run_records_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, finish(claimed))

    outcome = commit_one(provider, record_step(claimed))

    assert outcome == Fenced(holder=None)
    assert history(provider, claimed.lease.workflow_id) == []


def test_a_workflow_that_does_not_exist_records_nothing(provider: StateProvider) -> None:
    outcome = commit_one(provider, record_step(Lease("nowhere", "first", "token")))

    assert outcome == Fenced(holder=None)
    assert history(provider, "nowhere") == []


def test_places_may_have_gaps(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = [
        commit_one(provider, record_step(claimed, 2)),
        commit_one(provider, record_step(claimed, 9, after=2)),
        commit_one(provider, record_step(claimed, 5, after=9)),
    ]

    assert outcomes == [Recorded()] * 3


def test_parallel_steps_are_recorded_in_any_order(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed, 1))

    outcomes = commit(provider, *(record_step(claimed, place, after=1) for place in (4, 2, 3)))

    assert outcomes == [Recorded()] * 3
    assert [step.place for step in history(provider, claimed.lease.workflow_id)] == [1, 2, 3, 4]


def test_a_record_whose_predecessor_is_gone_does_not_stand(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, record_step(claimed, 2, after=1), record_sleep(claimed, 3, after=1))

    assert outcomes == [HistoryLost(), HistoryLost()]
    assert history(provider, claimed.lease.workflow_id) == []


def test_the_predecessor_of_another_workflow_does_not_count(provider: StateProvider) -> None:
    claimed, other = make_claimed(provider), make_claimed(provider)
    commit(provider, record_step(other, 1))

    outcome = commit_one(provider, record_step(claimed, 2, after=1))

    assert outcome == HistoryLost()


def test_a_predecessor_that_an_earlier_claim_recorded_counts(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed, 1))
    again = reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, record_step(again, 2, after=1))

    assert outcome == Recorded()


@pytest.mark.covers(35)
@pytest.mark.parametrize("change", [{"name": "refund"}, {"output": '"other"'}, {"output": None, "error": "{}"}])
def test_a_place_that_holds_another_record_diverges(provider: StateProvider, change: dict[str, Any]) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed))
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcome = commit_one(provider, record_step(claimed, **change))

    assert outcome == Diverged(recorded)
    assert history(provider, claimed.lease.workflow_id) == [recorded]


@pytest.mark.covers(35)
def test_a_place_that_an_earlier_claim_filled_diverges(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    commit(provider, record_step(claimed))
    again = reclaim(provider, claimed.lease, by="second")
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcome = commit_one(provider, record_step(again))

    assert outcome == Diverged(recorded)
    assert recorded.claim == claimed.lease.token


def test_a_zombie_learns_that_it_is_fenced_also_where_the_place_is_filled(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    again = reclaim(provider, claimed.lease, by="second")
    commit(provider, record_step(again))

    outcome = commit_one(provider, record_step(claimed))

    assert outcome == Fenced(holder="second")


def test_two_records_for_one_place_in_a_batch_keep_the_first(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, record_step(claimed, name="charge"), record_step(claimed, name="refund"))

    [recorded] = history(provider, claimed.lease.workflow_id)
    assert outcomes == [Recorded(), Diverged(recorded)]
    assert recorded.name == "charge"


@pytest.mark.covers(35)
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_step_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    claimed = make_claimed(provider)
    write = record_step(claimed)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert len(history(provider, claimed.lease.workflow_id)) == 1


def test_a_step_that_is_sent_again_after_the_lease_was_lost_still_stands(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    write = record_step(claimed)
    commit(provider, write)
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, write)

    assert outcome == Recorded()


def test_a_sleep_records_the_instant_at_which_it_ends(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcome = commit_one(provider, record_sleep(claimed, seconds=90.25))

    [step] = history(provider, claimed.lease.workflow_id)
    now = row_of(provider, claimed.lease.workflow_id).started_at_ms or 0
    assert outcome == Recorded(output=step.output)
    assert (step.name, step.error, step.serialization, step.claim) == ("DBOS.sleep", None, FORMAT, claimed.lease.token)
    assert now + 90_250 <= (step.completed_at_ms or 0) <= now + 120_250
    assert float(step.output or 0) * 1000 == pytest.approx(step.completed_at_ms, abs=1)


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_sleep_that_is_sent_twice_ends_at_one_instant(provider: StateProvider, times: str) -> None:
    claimed = make_claimed(provider)
    write = record_sleep(claimed)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    [step] = history(provider, claimed.lease.workflow_id)
    assert outcomes == [Recorded(output=step.output)] * 2


@pytest.mark.parametrize("of", ["lease", "executor"])
def test_a_sleep_is_guarded_like_a_step(provider: StateProvider, of: str) -> None:
    claimed = make_claimed(provider, by="first")
    stale = replace(claimed.lease, token="x") if of == "lease" else replace(claimed.lease, executor_id="x")

    outcome = commit_one(provider, record_sleep(stale))

    assert outcome == Fenced(holder="first")
    assert history(provider, claimed.lease.workflow_id) == []


def test_a_sleep_where_a_step_stands_diverges(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed))
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcomes = commit(provider, record_sleep(claimed), record_step(claimed, 2))

    assert outcomes == [Diverged(recorded), Recorded()]


def test_a_step_where_a_sleep_stands_diverges(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_sleep(claimed))
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcome = commit_one(provider, record_step(claimed))

    assert outcome == Diverged(recorded)


def test_a_fenced_run_costs_its_neighbours_nothing(provider: StateProvider) -> None:
    runs = [make_claimed(provider, by=f"executor {number}") for number in range(4)]
    reclaim(provider, runs[2].lease, by="another")

    outcomes = commit(provider, *(record_step(run) for run in runs))

    assert outcomes == [Recorded(), Recorded(), Fenced(holder="another"), Recorded()]
    assert [len(history(provider, run.lease.workflow_id)) for run in runs] == [1, 1, 0, 1]


def test_sixty_four_runs_record_in_one_batch(provider: StateProvider) -> None:
    runs: list[Claimed] = [make_claimed(provider) for _ in range(8)]
    writes = [record_step(run, place) for place in range(1, 9) for run in runs]

    outcomes: list[Outcome] = commit(provider, *writes)

    assert outcomes == [Recorded()] * 64
    assert all(len(history(provider, run.lease.workflow_id)) == 8 for run in runs)
