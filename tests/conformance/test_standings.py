"""How things stand for one workflow: what it waits for, who is before it, and what is taken of its queue's budgets."""

from __future__ import annotations

from dataclasses import replace

from durust import clock
from durust.model.queues import QueueDefinition, RateLimiter
from durust.model.standing import Standing, StandingRequest, Taken
from durust.model.writes import Retire, StoreQueue, Wait
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    commit,
    finish,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    row_of,
    want,
)

MINUTE_MS = 60_000.0


def standing(provider: StateProvider, workflow_id: str, span_ms: float = MINUTE_MS) -> Standing:
    found = provider.standing(StandingRequest(workflow_id, span_ms, span_ms))
    assert found is not None
    return found


def test_there_is_no_standing_of_what_is_not_there(provider: StateProvider) -> None:
    assert provider.standing(StandingRequest("gone")) is None


def test_what_a_parked_run_waits_for_is_read(provider: StateProvider) -> None:
    make_enqueued(provider, "b")
    claimed = make_claimed(provider, "a")
    waits = (Wait(1, "message", "a", "paid"), Wait(3, "stream", "b", "log", at=7, until_ms=clock.now_ms() + 600_000))
    commit(provider, replace(park(claimed), waits=waits))

    found = standing(provider, "a")

    assert found.waits == waits
    assert found.now_ms >= row_of(provider, "a").updated_at_ms


def test_who_is_before_is_counted_by_priority_and_age(provider: StateProvider) -> None:
    make_enqueued(provider, "first")
    make_enqueued(provider, "second", partition_key="ada")
    make_enqueued(provider, "elsewhere", queue="other")
    make_enqueued(provider, "of another application", app_name="shop")
    make_enqueued(provider, "third", partition_key="ada")
    make_enqueued(provider, "urgent", priority=-1)

    places = {name: standing(provider, name) for name in ("urgent", "first", "second", "third")}

    assert {name: each.ahead for name, each in places.items()} == {"urgent": 0, "first": 1, "second": 2, "third": 3}
    assert places["third"].ahead_in_partition == 1


def test_what_runs_on_a_queue_is_counted_by_executor(provider: StateProvider) -> None:
    for partition in ("ada", "ada", "bob"):
        make_enqueued(provider, partition_key=partition)
    make_enqueued(provider, "waiting", partition_key="ada")
    provider.claim(want(make_executor(provider, "one"), limit=2))
    provider.claim(want(make_executor(provider, "two"), limit=1))

    assert standing(provider, "waiting").running == (("one", 2, 2), ("two", 1, 0))


def test_what_is_taken_of_a_budget_is_counted(provider: StateProvider) -> None:
    queue = QueueDefinition(
        "work",
        global_concurrency=5,
        rate_limiter=RateLimiter(5, 60),
        partition_queue=True,
        partition_concurrency=5,
        partition_rate_limiter=RateLimiter(5, 60),
    )
    commit(provider, StoreQueue.of(queue, APP))
    for partition in ("ada", "ada", "bob"):
        make_enqueued(provider, partition_key=partition)
    claims = provider.claim(want(make_executor(provider, "one")))
    commit(provider, finish(claims[0]))
    make_enqueued(provider, "waiting", partition_key="ada")
    first = min(claim.now_ms for claim in claims)

    found = standing(provider, "waiting")

    assert found.taken == Taken(2, 3, first)
    assert (found.taken_of_partition.runs, found.taken_of_partition.starts) in {(1, 2), (2, 2)}
    assert standing(provider, "waiting", span_ms=0.0).taken == Taken(2, 0, None)


def test_a_share_of_a_dead_executor_is_not_taken(provider: StateProvider) -> None:
    commit(provider, StoreQueue.of(QueueDefinition("work", global_concurrency=5), APP))
    make_enqueued(provider, "a")
    provider.claim(want(make_executor(provider, "one")))
    commit(provider, Retire(("one",), "killed"))

    assert standing(provider, "a").taken.runs == 0
