"""A claim takes the right rows in the right order, for an executor that may claim, with a token of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from durust import clock
from durust.model.status import Status
from durust.model.writes import Beat, DrainExecutor, Recorded, Retire, StoreQueue
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    FORMAT,
    NAME,
    QUEUE,
    VERSION,
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
    record_step,
    row_of,
    start,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite


def claim(provider: StateProvider, *queues: str, by: str = "first", **fields: Any) -> list[str]:
    """Claim and return the ids that were granted."""
    return [
        claimed.lease.workflow_id for claimed in provider.claim(want(make_executor(provider, by), *queues, **fields))
    ]


def claim_one_by_one(provider: StateProvider, count: int) -> list[str]:
    return [workflow_id for _ in range(count) for workflow_id in claim(provider, limit=1)]


def test_a_claim_grants_the_row_with_what_it_needs_to_run(provider: StateProvider) -> None:
    make_enqueued(provider, "a", inputs="[1]")
    make_executor(provider, "first")

    [claimed] = provider.claim(want("first"))

    row = row_of(provider, "a")
    assert (claimed.lease.workflow_id, claimed.lease.executor_id, claimed.lease.token) == ("a", "first", row.token)
    assert (claimed.name, claimed.inputs, claimed.serialization, claimed.queue) == (NAME, "[1]", FORMAT, QUEUE)
    assert (claimed.attempts, claimed.app_version, claimed.created_at_ms) == (1, VERSION, row.created_at_ms)
    assert (claimed.now_ms, claimed.history) == (row.started_at_ms, ())


@pytest.mark.covers(89)
def test_a_claimed_row_is_pending_under_its_new_owner(provider: StateProvider) -> None:
    make_enqueued(provider, "a", priority=3, dedup_id="once")
    before = row_of(provider, "a")

    claim(provider)

    after = row_of(provider, "a")
    assert after == replace(
        before,
        status=Status.PENDING,
        executor_id="first",
        token=after.token,
        attempts=1,
        app_version=VERSION,
        started_at_ms=after.started_at_ms,
        updated_at_ms=after.updated_at_ms,
    )
    assert after.token
    assert after.started_at_ms


def test_what_is_claimed_is_not_claimed_again(provider: StateProvider) -> None:
    make_enqueued(provider, "a")

    assert claim(provider, by="first") == ["a"]
    assert claim(provider, by="second") == []
    assert claim(provider, by="first") == []


def test_a_claim_of_nothing_is_empty(provider: StateProvider) -> None:
    assert claim(provider) == []


@pytest.mark.covers(80)
def test_rows_come_first_in_first_out(provider: StateProvider) -> None:
    ids = [make_enqueued(provider) for _ in range(6)]

    assert claim_one_by_one(provider, 6) == ids


@pytest.mark.covers(80)
def test_rows_of_one_instant_come_in_the_order_of_their_ids(provider: StateProvider) -> None:
    ids = [clock.ordered_id() for _ in range(6)]
    commit(provider, *(start(workflow_id) for workflow_id in reversed(ids)))

    assert claim_one_by_one(provider, 6) == ids


@pytest.mark.covers(80)
def test_a_lower_priority_number_comes_first(provider: StateProvider) -> None:
    for workflow_id, priority in (("a", 5), ("b", 0), ("c", 2147483647), ("d", -1), ("e", 0)):
        make_enqueued(provider, workflow_id, priority=priority)

    assert claim_one_by_one(provider, 5) == ["d", "b", "e", "a", "c"]


def test_a_claim_takes_the_front_of_the_queue(provider: StateProvider) -> None:
    ids = [make_enqueued(provider) for _ in range(10)]

    assert sorted(claim(provider, limit=4)) == ids[:4]
    assert sorted(claim(provider, limit=100)) == ids[4:]


def test_a_queue_gives_no_more_than_its_own_limit(provider: StateProvider) -> None:
    for queue in ("one", "two"):
        for number in range(5):
            make_enqueued(provider, f"{queue} {number}", queue=queue)

    assert sorted(claim(provider, "one", "two", each=2)) == ["one 0", "one 1", "two 0", "two 1"]


def test_all_queues_together_give_no_more_than_the_limit_of_the_claim(provider: StateProvider) -> None:
    for queue in ("one", "two"):
        for number in range(5):
            make_enqueued(provider, f"{queue} {number}", queue=queue)

    taken = claim(provider, "one", "two", limit=7)

    assert len(taken) == 7
    assert len(claim(provider, "one", "two")) == 3


def test_only_the_queues_that_were_asked_for_give(provider: StateProvider) -> None:
    make_enqueued(provider, "a", queue="one")
    make_enqueued(provider, "b", queue="two")

    assert claim(provider, "two", "three") == ["b"]
    assert row_of(provider, "a").status is Status.ENQUEUED


def test_the_internal_queue_is_claimed_by_its_name(provider: StateProvider) -> None:
    make_enqueued(provider, "a", queue=None)

    assert claim(provider) == []
    assert claim(provider, "_dbos_internal_queue") == ["a"]


@pytest.mark.covers(68)
def test_only_names_that_are_known_are_taken(provider: StateProvider) -> None:
    make_enqueued(provider, "a", name="known")
    make_enqueued(provider, "b", name="unknown")

    assert claim(provider, names=("other", "known"), versions=("v8", "v9")) == ["a"]
    assert row_of(provider, "a").app_version == "v9"


def test_no_names_take_nothing(provider: StateProvider) -> None:
    make_enqueued(provider, "a")

    assert claim(provider, names=(), versions=()) == []


@pytest.mark.covers(190)
def test_rows_of_another_application_are_left_alone(provider: StateProvider) -> None:
    make_enqueued(provider, "a", app_name="other")
    make_enqueued(provider, "b", app_name=APP)

    assert claim(provider) == ["b"]
    assert claim(provider, app="other") == ["a"]


@pytest.mark.covers(190)
def test_rows_without_an_application_belong_to_whoever_knows_the_name(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    make_enqueued(provider, "a")
    make_enqueued(provider, "b", name="unknown")
    for workflow_id in ("a", "b"):
        rewrite(workflow_id, application_name=None)

    assert claim(provider, app="whoever") == ["a"]
    assert [row_of(provider, name).app_name for name in "ab"] == ["whoever", None]


@pytest.mark.covers(190)
@pytest.mark.parametrize("limit", [None, 5])
def test_a_row_that_was_anybodys_stays_with_whoever_ran_it(
    provider: StateProvider, rewrite: Rewrite, limit: int | None
) -> None:
    commit(provider, StoreQueue(QUEUE, None, APP, global_concurrency=limit))
    make_enqueued(provider, "a")
    rewrite("a", application_name=None)
    [claimed] = provider.claim(want(make_executor(provider, "first"), app="whoever"))

    commit(provider, hand_back(claimed))

    assert claim(provider, app="somebody else") == []
    assert claim(provider, app="whoever") == ["a"]


def test_rows_of_this_version_and_of_none_are_taken(provider: StateProvider) -> None:
    make_enqueued(provider, "a", app_version=VERSION)
    make_enqueued(provider, "b", app_version="v0")
    make_enqueued(provider, "c", app_version=None)

    assert sorted(claim(provider)) == ["a", "c"]
    assert [row_of(provider, name).app_version for name in "abc"] == [VERSION, "v0", VERSION]


def test_the_version_that_counts_is_the_one_of_the_rows_name(provider: StateProvider) -> None:
    make_enqueued(provider, "a", name="one", app_version="v2")
    make_enqueued(provider, "b", name="two", app_version="v2")

    assert claim(provider, names=("one", "two"), versions=("v1", "v2")) == ["b"]


@pytest.mark.parametrize("state", ["unknown", "DRAINING", "DEAD", "lapsed"])
def test_only_a_live_executor_with_a_lease_claims(provider: StateProvider, state: str) -> None:
    make_enqueued(provider, "a")
    if state != "unknown":
        make_executor(provider, "first")
    match state:
        case "DRAINING":
            commit(provider, DrainExecutor("first"))
        case "DEAD":
            commit(provider, Retire(("first",), "killed"))
        case "lapsed":
            lapse(provider, "first")

    claimed = provider.claim(want("first"))

    assert claimed == []
    assert row_of(provider, "a").status is Status.ENQUEUED


def test_an_executor_claims_again_once_its_lease_is_renewed(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    lapse(provider, "first")
    commit(provider, Beat(("first",), 60))

    assert claim(provider, by="first") == ["a"]


def test_a_delayed_row_is_not_taken_before_a_sweep_queued_it(provider: StateProvider) -> None:
    make_enqueued(provider, "a", delay_seconds=600)
    claimed = make_claimed(provider, "b")
    commit(provider, park(claimed))

    assert claim(provider, QUEUE, claimed.queue or "") == []


def test_a_token_never_repeats(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    tokens = []

    for _ in range(25):
        [claimed] = provider.claim(want("first"))
        tokens.append(claimed.lease.token)
        commit(provider, hand_back(claimed))

    assert len(set(tokens)) == 25
    assert all(re.match(r"^[0-9a-f]{16}-.{8,}$", token) for token in tokens)


def test_tokens_of_one_claim_differ(provider: StateProvider) -> None:
    for _ in range(20):
        make_enqueued(provider)
    make_executor(provider, "first")

    tokens = {claimed.lease.token for claimed in provider.claim(want("first"))}

    assert len(tokens) == 20


def test_a_resumed_run_comes_with_its_history_in_the_order_of_its_commits(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    late, early = record_step(claimed, 1, completed_at_ms=9_000), record_step(claimed, 2, completed_at_ms=8_000)
    commit(provider, late, early, record_step(claimed, 3, completed_at_ms=9_000))

    again = reclaim(provider, claimed.lease, by="second")

    assert [step.place for step in again.history] == [2, 1, 3]
    assert list(again.history) == history(provider, "a")


def test_each_resumed_run_comes_with_its_own_history(provider: StateProvider) -> None:
    for number in range(5):
        make_enqueued(provider, f"run {number}")
    runs = provider.claim(want(make_executor(provider, "first")))
    for run in runs:
        number = int(run.lease.workflow_id.removeprefix("run "))
        commit(provider, *(record_step(run, place) for place in range(1, number + 1)))
    commit(provider, Retire(("first",), "killed"))

    again = provider.claim(want(make_executor(provider, "second")))

    assert {run.lease.workflow_id: len(run.history) for run in again} == {
        f"run {number}": number for number in range(5)
    }


@pytest.mark.covers(55)
def test_every_claim_counts_an_attempt_unless_the_run_gives_it_back(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    queue = claimed.queue or ""
    attempts = [claimed.attempts]

    def again(by: str) -> None:
        nonlocal claimed
        [claimed] = provider.claim(want(make_executor(provider, by), queue))
        attempts.append(claimed.attempts)

    commit(provider, Retire(("first",), "killed"))
    again("second")
    commit(provider, hand_back(claimed))
    again("second")
    lapse(provider, "second")
    sweep(provider)
    again("third")
    commit(provider, park(claimed, until_ms=1))
    sweep(provider)
    again("third")

    assert attempts == [1, 2, 2, 3, 3]


def test_a_direct_start_that_crashed_counts_two_attempts_when_it_is_claimed(provider: StateProvider) -> None:
    lease = make_started(provider, "a", by="first")

    again = reclaim(provider, lease, by="second")

    assert again.attempts == 2
    assert commit_one(provider, finish(again)) == Recorded()


def test_a_claim_tells_for_whom_it_runs_and_until_when(provider: StateProvider) -> None:
    said = {"authenticated_user": "ada", "authenticated_roles": '["admin"]', "attributes": '{"tier": 1}'}

    claimed = make_claimed(provider, "a", deadline_ms=clock.now_ms() + 60_000, **said)

    row = row_of(provider, "a")
    assert {name: getattr(claimed, name) for name in said} == said == {name: getattr(row, name) for name in said}
    assert claimed.deadline_ms == row.deadline_ms
    assert (claimed.assumed_role, row.forked_from, row.was_forked_from, row.parent_id) == (None, None, False, None)
