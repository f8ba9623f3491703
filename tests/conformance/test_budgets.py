"""What a claim takes from a queue with limits, by what others took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from durust.model.claims import Claimed, Claims
from durust.model.queues import PARTITIONS_MAX
from durust.model.writes import (
    CancelWorkflow,
    DeleteQueue,
    EndGrants,
    Missing,
    PauseQueue,
    Recorded,
    Retire,
    StoreQueue,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    LONG_SECONDS,
    QUEUE,
    commit,
    commit_one,
    finish,
    hand_back,
    make_enqueued,
    make_executor,
    park,
    row_of,
    start,
    sweep,
    want,
)
from tests.support.waiting import eventually

# Over within a test, and long beside a claim.
SHORT_SECONDS = 0.4


def limit(provider: StateProvider, name: str = QUEUE, **limits: Any) -> None:
    """Store a queue with limits."""
    assert commit_one(provider, StoreQueue(name, limits.pop("worker_concurrency", None), APP, **limits)) == Recorded()


def fill(provider: StateProvider, count: int, **fields: Any) -> list[str]:
    """Enqueue so many workflows and return their ids in order."""
    writes = [start(**fields) for _ in range(count)]
    commit(provider, *writes)
    return [write.workflow_id for write in writes]


def take(provider: StateProvider, *queues: str, by: str = "first", running: int = 0, **fields: Any) -> Claims:
    """Claim once, as an executor that runs so many of each queue."""
    request = want(make_executor(provider, by), *queues, **fields)
    return provider.claim(replace(request, queues=tuple(replace(queue, running=running) for queue in request.queues)))


def ids(claims: Iterable[Claimed]) -> list[str]:
    return [claimed.lease.workflow_id for claimed in claims]


# Concurrency -------------------------------------------------------------------------------------------------------


@pytest.mark.covers(75)
@pytest.mark.protocol("4.budget.counts")
def test_global_concurrency_counts_what_all_executors_hold(provider: StateProvider) -> None:
    limit(provider, global_concurrency=3)
    queued = fill(provider, 6)

    first = take(provider, by="first", limit=2)
    second = take(provider, by="second", limit=5)
    third = take(provider, by="third")

    assert (ids(first), ids(second), ids(third)) == (queued[:2], queued[2:3], [])


def test_what_an_executor_holds_can_be_listed(provider: StateProvider) -> None:
    limit(provider, global_concurrency=3)
    fill(provider, 3)
    ended, cancelled = take(provider, by="first", limit=2)
    take(provider, by="second")
    commit(provider, finish(ended), CancelWorkflow(cancelled.lease.workflow_id))

    held = provider.open_grants(ended.lease.executor_id)

    assert held == [cancelled.lease.token]
    assert provider.open_grants("du:nobody") == []


@pytest.mark.protocol("4.budget.ends")
@pytest.mark.parametrize("end", [finish, park, hand_back, lambda run: EndGrants((run.lease.token,))])
def test_a_share_ends_with_its_run(provider: StateProvider, end: Any) -> None:
    limit(provider, global_concurrency=1)
    fill(provider, 2)
    [run] = take(provider, by="first")

    commit(provider, end(run))

    assert len(take(provider, by="second")) == 1


@pytest.mark.protocol("4.budget.counts", "4.budget.ends")
def test_a_share_ends_with_the_death_of_its_executor(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)
    fill(provider, 2)
    take(provider, by="first")

    commit(provider, Retire(("first",), "killed"))

    assert len(take(provider, by="second")) == 1


def test_a_share_whose_run_lost_its_workflow_ends_when_its_body_does(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)
    fill(provider, 2)
    [run] = take(provider, by="first")
    commit(provider, hand_back(replace(run.lease, has_grant=False)))
    assert take(provider, by="second") == []

    commit(provider, finish(run))

    assert len(take(provider, by="second")) == 1


@pytest.mark.covers(76)
def test_worker_concurrency_counts_what_the_process_runs(provider: StateProvider) -> None:
    limit(provider, worker_concurrency=3)
    queued = fill(provider, 5)

    assert ids(take(provider, running=2)) == queued[:1]
    assert take(provider, running=3) == []
    assert take(provider, running=9) == []


@pytest.mark.parametrize("limits", [{"worker_concurrency": 9}, {"global_concurrency": 9}])
def test_a_claim_never_takes_more_than_its_free_slots(provider: StateProvider, limits: dict[str, Any]) -> None:
    limit(provider, **limits)
    limit(provider, "other", **limits)
    fill(provider, 4)
    fill(provider, 4, queue="other")

    assert len(take(provider, QUEUE, "other", limit=5)) == 5
    assert len(take(provider, QUEUE, "other", limit=5)) == 3


@pytest.mark.covers(80)
def test_the_first_of_a_queue_with_a_budget_are_those_of_the_lowest_number_then_of_the_longest_wait(
    provider: StateProvider,
) -> None:
    limit(provider, global_concurrency=9)
    late, early = fill(provider, 2, priority=5), fill(provider, 2, priority=1)

    assert ids(take(provider, limit=3)) == [*early, late[0]]


# Rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.covers(78)
@pytest.mark.protocol("4.budget.counts")
def test_a_rate_counts_the_starts_of_all_executors(provider: StateProvider) -> None:
    limit(provider, rate_limit=3, rate_period_seconds=LONG_SECONDS)
    queued = fill(provider, 5)

    first, second, third = (take(provider, by=by, limit=2) for by in ("first", "second", "third"))

    assert (ids(first), ids(second), ids(third)) == (queued[:2], queued[2:3], [])
    assert third.again_seconds is not None
    assert 0 < third.again_seconds <= LONG_SECONDS + 1


def test_a_start_counts_for_its_period_and_not_longer(provider: StateProvider) -> None:
    limit(provider, rate_limit=2, rate_period_seconds=SHORT_SECONDS)
    queued = fill(provider, 4)
    first = take(provider)

    later = eventually(lambda: take(provider))

    assert ids(first) == queued[:2]
    assert ids(later) == queued[2:]
    assert later[0].now_ms - first[0].now_ms >= 1000 * SHORT_SECONDS


@pytest.mark.protocol("4.budget.ends")
def test_a_run_that_goes_on_is_not_a_start(provider: StateProvider) -> None:
    limit(provider, rate_limit=2, rate_period_seconds=LONG_SECONDS)
    parked, crashed = fill(provider, 2)
    runs = take(provider, by="first")
    commit(provider, park(runs[0], until_ms=1))
    commit(provider, Retire(("first",), "killed"))

    again = take(provider, by="second")

    assert sorted(ids(again)) == sorted([parked, crashed])


def test_no_time_is_told_where_no_rate_stands_in_the_way(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1, rate_limit=5, rate_period_seconds=LONG_SECONDS)
    fill(provider, 2)

    assert take(provider).again_seconds is None
    assert take(provider).again_seconds is None


# Partitions --------------------------------------------------------------------------------------------------------


@pytest.mark.covers(81)
def test_a_partitions_limit_holds_for_each_key(provider: StateProvider) -> None:
    limit(provider, partition_queue=True, partition_concurrency=1)
    a = fill(provider, 3, partition_key="a")
    b = fill(provider, 3, partition_key="b")

    claims = take(provider, by="first")

    assert ids(claims) == [a[0], b[0]]
    assert take(provider, by="second") == []
    commit(provider, finish(claims[1]))
    assert ids(take(provider, by="second")) == [b[1]]


@pytest.mark.covers(79)
def test_the_limits_of_partitions_and_of_the_whole_queue_hold_together(provider: StateProvider) -> None:
    limit(provider, partition_queue=True, partition_concurrency=2, global_concurrency=3)
    for key in "abc":
        fill(provider, 3, partition_key=key)

    claims = take(provider)

    keys = [row_of(provider, workflow_id).partition_key for workflow_id in ids(claims)]
    assert keys == ["a", "a", "b"]


def test_a_partition_whose_rate_is_used_up_keeps_no_room_from_others(provider: StateProvider) -> None:
    limit(
        provider,
        rate_limit=4,
        rate_period_seconds=LONG_SECONDS,
        partition_queue=True,
        partition_rate_limit=1,
        partition_rate_period_seconds=LONG_SECONDS,
    )
    a = fill(provider, 9, partition_key="a")
    b = fill(provider, 2, partition_key="b")

    assert ids(take(provider)) == [a[0], b[0]]


def test_a_process_counts_its_own_share_of_a_partition(provider: StateProvider) -> None:
    limit(provider, partition_queue=True, partition_worker_concurrency=1)
    queued = fill(provider, 3, partition_key="a")

    assert ids(take(provider, by="first")) == queued[:1]
    assert take(provider, by="first") == []
    assert ids(take(provider, by="second")) == queued[1:2]


@pytest.mark.covers(82)
def test_none_of_very_many_partitions_is_passed_over(provider: StateProvider) -> None:
    limit(provider, partition_queue=True, partition_concurrency=1)
    count = PARTITIONS_MAX + 40
    commit(provider, *(start(f"run {number:04}", partition_key=f"key {number:04}") for number in range(count)))
    seen: set[str] = set()

    # Each look finds at most so many keys, and none twice before all of them had their turn.
    for _ in range(4):
        seen.update(ids(take(provider, limit=count, each=count)))

    assert len(seen) == count


def test_keys_mean_nothing_on_a_queue_without_partitions(provider: StateProvider) -> None:
    limit(provider, global_concurrency=2, partition_concurrency=1)
    queued = fill(provider, 3, partition_key="a")

    assert ids(take(provider)) == queued[:2]


# Definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.covers(90)
@pytest.mark.parametrize("first", [{}, {"global_concurrency": 9}], ids=["unlimited", "limited"])
def test_what_runs_already_counts_in_a_new_budget(provider: StateProvider, first: dict[str, Any]) -> None:
    limit(provider, partition_queue=True, **first)
    for key in ("a", "a", "b"):
        fill(provider, 1, partition_key=key)
    running = take(provider)
    waiting = [*fill(provider, 1, partition_key="a"), *fill(provider, 1, partition_key="b")]

    limit(provider, partition_queue=True, partition_concurrency=2, rate_limit=5, rate_period_seconds=LONG_SECONDS)

    assert ids(take(provider, by="second")) == waiting[1:]
    assert sorted(provider.open_grants("first")) == sorted(claimed.lease.token for claimed in running)
    commit(provider, EndGrants((running[0].lease.token,)))
    fill(provider, 1, partition_key="b")
    assert ids(take(provider, by="second")) == waiting[:1]


@pytest.mark.covers(90)
def test_a_changed_limit_counts_at_the_next_claim(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)
    queued = fill(provider, 6)
    take(provider)
    assert take(provider) == []

    limit(provider, global_concurrency=3)
    assert ids(take(provider)) == queued[1:3]
    limit(provider, worker_concurrency=4)
    assert ids(take(provider, running=3)) == queued[3:4]
    limit(provider)
    assert ids(take(provider)) == queued[4:]


def test_a_definition_that_is_kept_gives_way_to_the_one_that_stands(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)

    limit(provider, global_concurrency=5, keeps=True)
    limit(provider, "fresh", global_concurrency=5, keeps=True)

    stored = {queue.name: queue.global_concurrency for queue in provider.queues()}
    assert (stored[QUEUE], stored["fresh"]) == (1, 5)


@pytest.mark.parametrize("limits", [{}, {"global_concurrency": 5}])
def test_nothing_is_claimed_from_a_paused_queue(provider: StateProvider, limits: dict[str, Any]) -> None:
    limit(provider, **limits)
    queued = fill(provider, 2)

    assert commit_one(provider, PauseQueue(QUEUE, is_paused=True)) == Recorded()
    assert take(provider) == []
    assert [queue.is_paused for queue in provider.queues() if queue.name == QUEUE] == [True]
    assert commit_one(provider, PauseQueue(QUEUE, is_paused=False)) == Recorded()
    assert ids(take(provider)) == queued


def test_a_queue_that_is_declared_anew_stays_paused(provider: StateProvider) -> None:
    limit(provider)
    commit(provider, PauseQueue(QUEUE, is_paused=True))

    limit(provider, global_concurrency=2)

    assert [queue.is_paused for queue in provider.queues() if queue.name == QUEUE] == [True]


def test_a_deleted_queue_has_no_limits_and_no_pause(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)
    commit(provider, PauseQueue(QUEUE, is_paused=True))
    queued = fill(provider, 3)

    assert commit_one(provider, DeleteQueue(QUEUE)) == Recorded()

    assert QUEUE not in {queue.name for queue in provider.queues()}
    assert ids(take(provider)) == queued


def test_a_queue_that_is_not_stored_is_missing(provider: StateProvider) -> None:
    assert commit_one(provider, PauseQueue("nowhere", is_paused=True)) == Missing()
    assert commit_one(provider, DeleteQueue("nowhere")) == Missing()


# What is told ------------------------------------------------------------------------------------------------------


def test_a_claim_tells_which_queues_with_a_limit_still_hold_work(provider: StateProvider) -> None:
    limit(provider, global_concurrency=1)
    limit(provider, "narrow", worker_concurrency=1)
    limit(provider, "empty", global_concurrency=1)
    fill(provider, 2)
    fill(provider, 2, queue="narrow")
    fill(provider, 2, queue="plain")

    claims = take(provider, QUEUE, "narrow", "empty", "plain")

    assert claims.limited == {QUEUE, "narrow"}
    assert claims.budgeted == {QUEUE}


@pytest.mark.parametrize("first", [(), (QUEUE,), ("plain", "nowhere")])
def test_queues_that_are_asked_first_give_no_more_than_they_were_asked_for(
    provider: StateProvider, first: tuple[str, ...]
) -> None:
    limit(provider, global_concurrency=2)
    fill(provider, 5)
    fill(provider, 5, queue="plain")
    request = want(make_executor(provider, "first"), QUEUE, "plain", each=3)

    claims = provider.claim(replace(request, budgeted_first=first))

    assert sorted(claimed.queue or "" for claimed in claims) == ["plain"] * 3 + [QUEUE] * 2


def test_a_share_that_ended_is_forgotten_when_no_rate_counts_it(
    provider: StateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sweeping", "memory_sweeps", "sqlite_sweeps"):
        monkeypatch.setattr(f"durust.storage.{module}.GRANTS_KEPT_SECONDS", 0.0)
    limit(provider, rate_limit=1, rate_period_seconds=LONG_SECONDS)
    fill(provider, 2)
    [run] = take(provider)
    commit(provider, finish(run))

    sweep(provider)
    assert take(provider) == []
    limit(provider, rate_limit=1, rate_period_seconds=0.001)
    assert eventually(lambda: sweep(provider) and take(provider, by="other"))


def test_a_share_that_is_held_is_not_forgotten(provider: StateProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sweeping", "memory_sweeps", "sqlite_sweeps"):
        monkeypatch.setattr(f"durust.storage.{module}.GRANTS_KEPT_SECONDS", 0.0)
    limit(provider, global_concurrency=1)
    make_enqueued(provider)
    make_enqueued(provider)
    take(provider)

    sweep(provider)

    assert take(provider, by="second") == []
