"""The delay of a workflow that has not run yet is changed both ways, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durust.model.status import Status
from durust.model.writes import Existing, Missing, Outcome, Recorded, Refused, SetDelay, StartWorkflow
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    LONG_SECONDS,
    QUEUE,
    commit,
    commit_one,
    finish,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    row_of,
    start,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite


def set_delay(provider: StateProvider, workflow_id: str, seconds: float) -> Outcome:
    return commit_one(provider, SetDelay(workflow_id, seconds))


def make_delayed(provider: StateProvider, workflow_id: str = "a", seconds: float = LONG_SECONDS) -> str:
    return make_enqueued(provider, workflow_id, delay_seconds=seconds)


@pytest.mark.covers(86)
@pytest.mark.parametrize("seconds", [5.25, 10 * LONG_SECONDS], ids=["sooner", "later"])
def test_a_delay_is_changed_both_ways_from_now_on(provider: StateProvider, seconds: float) -> None:
    make_delayed(provider)

    outcome = set_delay(provider, "a", seconds)

    row = row_of(provider, "a")
    assert (outcome, row.status) == (Recorded(), Status.DELAYED)
    # The moment of the change is the database's, as that of the creation is.
    assert row.delay_until_ms == row.updated_at_ms + round(seconds * 1000)
    assert row.updated_at_ms >= row.created_at_ms


@pytest.mark.covers(86)
def test_no_delay_queues_it_at_once_and_a_repeated_one_changes_nothing(provider: StateProvider) -> None:
    make_delayed(provider)

    outcomes = [set_delay(provider, "a", 0), set_delay(provider, "a", 0)]

    row = row_of(provider, "a")
    assert outcomes == [Recorded(), Recorded()]
    assert (row.status, row.delay_until_ms, row.queue) == (Status.ENQUEUED, None, QUEUE)
    assert [one.lease.workflow_id for one in provider.claim(want(make_executor(provider, "first")))] == ["a"]


@pytest.mark.covers(86)
def test_a_delay_that_was_cut_short_is_swept_when_it_is_over(provider: StateProvider, rewrite: Rewrite) -> None:
    make_delayed(provider)
    set_delay(provider, "a", 60)
    rewrite("a", delay_until_epoch_ms=1)

    swept = sweep(provider)

    assert (swept.due, row_of(provider, "a").status) == (1, Status.ENQUEUED)


def test_the_deduplication_id_stays_with_its_holder(provider: StateProvider) -> None:
    make_enqueued(provider, "a", delay_seconds=LONG_SECONDS, dedup_id="once")

    set_delay(provider, "a", 0)

    assert row_of(provider, "a").dedup_id == "once"


@pytest.mark.covers(86)
@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_parked_run_is_left_alone(provider: StateProvider, seconds: float) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, park(claimed))
    before = row_of(provider, "a")

    outcome = set_delay(provider, "a", seconds)

    assert outcome == Existing(replace(before, inputs=None))
    assert row_of(provider, "a") == before


@pytest.mark.covers(86)
def test_what_is_not_delayed_is_left_alone(provider: StateProvider) -> None:
    make_enqueued(provider, "queued")
    make_claimed(provider, "running")
    commit(provider, finish(make_claimed(provider, "ended", by="second")))
    before = {name: row_of(provider, name) for name in ("queued", "running", "ended")}

    outcomes = {name: set_delay(provider, name, 60.0) for name in before}

    assert outcomes == {name: Existing(replace(row, inputs=None, output=None)) for name, row in before.items()}
    assert {name: row_of(provider, name) for name in before} == before


def test_nothing_is_made_of_a_workflow_that_is_not_there(provider: StateProvider) -> None:
    assert set_delay(provider, "nobody", 1.0) == Missing()


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12])
def test_a_delay_that_no_database_can_count_is_refused(provider: StateProvider, seconds: float) -> None:
    make_delayed(provider)

    assert isinstance(set_delay(provider, "a", seconds), Refused)


def test_delays_and_starts_of_one_batch_come_in_that_order(provider: StateProvider) -> None:
    make_delayed(provider, "old")
    fresh: StartWorkflow = start("new", delay_seconds=LONG_SECONDS)

    outcomes = commit(provider, SetDelay("old", 0), SetDelay("new", 0), SetDelay("nobody", 0), fresh)

    assert outcomes[:3] == [Recorded(), Recorded(), Missing()]
    assert [row_of(provider, name).status for name in ("old", "new")] == [Status.ENQUEUED, Status.ENQUEUED]
