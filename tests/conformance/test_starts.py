"""A workflow is born once, queued, delayed or running, and its start is answered by what stands then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durust import clock
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    DrainExecutor,
    Duplicate,
    Existing,
    Fenced,
    Outcome,
    Recorded,
    Refused,
    Retire,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    FORMAT,
    NAME,
    QUEUE,
    commit,
    commit_one,
    finish,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    row_of,
    start,
    want,
)


def is_recorded(outcome: Outcome) -> bool:
    return isinstance(outcome, Recorded)


def make_lease(workflow_id: str, executor: str) -> Lease:
    return Lease(workflow_id, executor, clock.random_token())


def test_a_queued_workflow_waits_with_everything_it_was_given(provider: StateProvider) -> None:
    write = start("a", inputs="[1]", priority=7, dedup_id="once", app_version="v7")

    outcome = commit_one(provider, write)

    row = row_of(provider, "a")
    assert is_recorded(outcome)
    assert (row.workflow_id, row.name, row.status, row.queue) == ("a", NAME, Status.ENQUEUED, QUEUE)
    assert (row.inputs, row.serialization, row.priority, row.dedup_id) == ("[1]", FORMAT, 7, "once")
    assert (row.app_name, row.app_version, row.creator, row.attempts) == (APP, "v7", write.creator, 0)
    assert (row.executor_id, row.token, row.started_at_ms, row.completed_at_ms) == (None, None, None, None)
    assert (row.output, row.error, row.delay_until_ms) == (None, None, None)
    assert row.created_at_ms == row.updated_at_ms > 0


def test_a_start_answers_the_time_of_the_database(provider: StateProvider) -> None:
    outcome = commit_one(provider, start("a"))

    assert outcome == Recorded(now_ms=row_of(provider, "a").created_at_ms)


def test_a_start_without_a_queue_waits_on_the_internal_one(provider: StateProvider) -> None:
    commit(provider, start("a", queue=None))

    assert row_of(provider, "a").queue == INTERNAL_QUEUE


def test_a_delayed_workflow_is_due_when_its_delay_is_over(provider: StateProvider) -> None:
    commit(provider, start("a", delay_seconds=90.5))

    row = row_of(provider, "a")
    assert row.status is Status.DELAYED
    assert row.delay_until_ms == row.created_at_ms + 90_500


def test_a_direct_start_runs_at_once_under_its_starter(provider: StateProvider) -> None:
    lease = make_started(provider, "a", by="first")

    row = row_of(provider, "a")
    assert (row.status, row.executor_id, row.token) == (Status.PENDING, "first", lease.token)
    assert (row.queue, row.attempts, row.started_at_ms, row.creator) == (None, 1, None, lease.token)
    assert is_recorded(commit_one(provider, finish(lease)))


def test_a_direct_start_may_belong_to_a_queue(provider: StateProvider) -> None:
    lease = make_lease("a", make_executor(provider, "first"))

    outcome = commit_one(provider, replace(start(lease=lease), queue=QUEUE))

    assert is_recorded(outcome)
    assert row_of(provider, "a").queue == QUEUE


@pytest.mark.covers(1)
def test_the_same_id_twice_runs_once_and_shows_what_stands(provider: StateProvider) -> None:
    make_enqueued(provider, "a", inputs="[1]")

    outcome = commit_one(provider, start("a", inputs="[2]", name="other"))

    assert outcome == Existing(replace(row_of(provider, "a"), inputs=None))
    assert row_of(provider, "a").inputs == "[1]"


def test_the_same_id_twice_in_one_batch_runs_once(provider: StateProvider) -> None:
    first, second = start("a", inputs="[1]"), start("a", inputs="[2]")

    outcomes = commit(provider, first, second)

    row = row_of(provider, "a")
    assert is_recorded(outcomes[0])
    assert outcomes[1] == Existing(replace(row, inputs=None))
    assert (row.inputs, row.creator) == ("[1]", first.creator)


def test_an_ended_workflow_still_holds_its_id(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, finish(claimed))

    outcome = commit_one(provider, start("a"))

    assert isinstance(outcome, Existing)
    assert outcome.row.status is Status.SUCCESS
    assert (outcome.row.inputs, outcome.row.output) == (None, None)


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_start_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    write = start("a", dedup_id="once")

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert [is_recorded(outcome) for outcome in outcomes] == [True, True]
    assert row_of(provider, "a").creator == write.creator


@pytest.mark.covers(56)
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_direct_start_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    write = start(lease=make_lease("a", make_executor(provider, "first")))

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    row = row_of(provider, "a")
    assert [is_recorded(outcome) for outcome in outcomes] == [True, True]
    assert (row.attempts, row.token) == (1, write.creator)


def test_a_start_that_is_sent_again_after_its_claim_changes_nothing(provider: StateProvider) -> None:
    write = start("a", queue="other")
    commit(provider, write)
    provider.claim(want(make_executor(provider, "first"), "other"))
    before = row_of(provider, "a")

    outcome = commit_one(provider, write)

    assert is_recorded(outcome)
    assert row_of(provider, "a") == before


@pytest.mark.parametrize("state", ["unknown", "DRAINING", "DEAD"])
def test_only_a_live_executor_starts_directly(provider: StateProvider, state: str) -> None:
    if state != "unknown":
        make_executor(provider, "first")
        commit(provider, DrainExecutor("first") if state == "DRAINING" else Retire(("first",), "killed"))

    outcome = commit_one(provider, start(lease=make_lease("a", "first")))

    assert outcome == Fenced(holder=None)
    assert is_recorded(commit_one(provider, start("a")))


def test_direct_and_queued_starts_stand_in_one_batch(provider: StateProvider) -> None:
    make_executor(provider, "first")
    queued, direct = start("a"), start(lease=make_lease("b", "first"))

    outcomes = commit(provider, direct, queued)

    assert [is_recorded(outcome) for outcome in outcomes] == [True, True]


@pytest.mark.covers(83)
def test_a_deduplication_id_is_held_by_one_workflow_of_a_queue(provider: StateProvider) -> None:
    make_enqueued(provider, "a", dedup_id="once")

    outcomes = commit(
        provider, start("b", dedup_id="once"), start("c", dedup_id="once", queue="other"), start("d", dedup_id="twice")
    )

    assert outcomes[0] == Duplicate("a")
    assert [is_recorded(outcome) for outcome in outcomes[1:]] == [True, True]


def test_of_two_with_one_deduplication_id_in_a_batch_the_first_stands(provider: StateProvider) -> None:
    outcomes = commit(provider, start("a", dedup_id="once"), start("b", dedup_id="once"))

    assert is_recorded(outcomes[0])
    assert outcomes[1] == Duplicate("a")


def test_an_id_is_judged_before_its_deduplication_id(provider: StateProvider) -> None:
    make_enqueued(provider, "a", dedup_id="once")
    make_enqueued(provider, "b")

    outcome = commit_one(provider, start("b", dedup_id="once"))

    assert isinstance(outcome, Existing)
    assert outcome.row.workflow_id == "b"


@pytest.mark.covers(83)
def test_a_delayed_and_a_running_workflow_hold_their_deduplication_id(provider: StateProvider) -> None:
    make_enqueued(provider, "delayed", dedup_id="d", delay_seconds=600)
    make_enqueued(provider, "running", dedup_id="r")
    provider.claim(want(make_executor(provider, "first")))

    outcomes = commit(provider, start(dedup_id="d"), start(dedup_id="r"))

    assert outcomes == [Duplicate("delayed"), Duplicate("running")]


@pytest.mark.covers(83)
def test_an_ended_workflow_frees_its_deduplication_id(provider: StateProvider) -> None:
    make_enqueued(provider, "a", dedup_id="once")
    [claimed] = provider.claim(want(make_executor(provider, "first")))
    commit(provider, finish(claimed))

    outcome = commit_one(provider, start("b", dedup_id="once"))

    assert is_recorded(outcome)
    assert row_of(provider, "a").dedup_id is None


def test_a_direct_start_without_a_queue_cannot_hold_a_deduplication_id(provider: StateProvider) -> None:
    lease = make_lease("a", make_executor(provider, "first"))

    outcome = commit_one(provider, start(lease=lease, dedup_id="once"))

    assert isinstance(outcome, Refused)
