"""What a parked run waits for queues it, whoever makes it come and whenever: before the park, with it or after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durust.model.claims import Claimed
from durust.model.status import Status
from durust.model.waits import RESULT, Awaited, Ending, Gone
from durust.model.writes import (
    INTERNAL_QUEUE,
    CancelWorkflow,
    DeleteWorkflow,
    ParkWorkflow,
    Recorded,
    Wait,
    Write,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    commit,
    commit_one,
    finish,
    make_claimed,
    make_executor,
    reclaim,
    row_of,
    sweep,
    want,
)

Ends = Callable[[Claimed], Write]
ENDS: dict[str, Ends] = {
    "finished": finish,
    "cancelled": lambda target: CancelWorkflow(target.lease.workflow_id),
    "deleted": lambda target: DeleteWorkflow(target.lease.workflow_id),
}


def wait_for(waiter: Claimed, *targets: str, until_ms: int | None = None) -> ParkWorkflow:
    """Return the write that sets a run aside until one of *targets* has ended."""
    waits = [Wait.of(place, Awaited(RESULT, target), until_ms) for place, target in enumerate(targets, 1)]
    return ParkWorkflow(waiter.lease, None, until_ms, tuple(waits))


@pytest.fixture
def target(provider: StateProvider) -> Claimed:
    return make_claimed(provider, "target", by="second")


@pytest.fixture
def waiter(provider: StateProvider) -> Claimed:
    return make_claimed(provider, "waiter")


def test_a_wait_without_a_timeout_has_no_instant(provider: StateProvider, waiter: Claimed, target: Claimed) -> None:
    outcome = commit_one(provider, wait_for(waiter, "target"))

    row = row_of(provider, "waiter")
    assert (outcome, row.status, row.delay_until_ms) == (Recorded(), Status.DELAYED, None)
    assert sweep(provider).next_due_seconds is None
    assert row_of(provider, "waiter").status is Status.DELAYED


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_queues_who_waits_for_it(provider: StateProvider, waiter: Claimed, target: Claimed, end: Ends) -> None:
    commit(provider, wait_for(waiter, "target", until_ms=9_000_000_000_000))

    outcome = commit_one(provider, end(target))

    row = row_of(provider, "waiter")
    assert (row.status, row.delay_until_ms, row.attempts) == (Status.ENQUEUED, None, 0)
    assert outcome == Recorded(queues=frozenset({row.queue or ""}))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_who_parks_for_what_has_ended_is_queued_at_once(
    provider: StateProvider, waiter: Claimed, target: Claimed, end: Ends
) -> None:
    commit(provider, end(target))

    outcome = commit_one(provider, wait_for(waiter, "target"))

    assert outcome == Recorded()
    assert row_of(provider, "waiter").status is Status.ENQUEUED


def test_an_end_and_a_park_of_one_batch_meet(provider: StateProvider, waiter: Claimed, target: Claimed) -> None:
    outcomes = commit(provider, wait_for(waiter, "target"), finish(target))

    assert all(isinstance(outcome, Recorded) for outcome in outcomes)
    assert row_of(provider, "waiter").status is Status.ENQUEUED


def test_the_first_of_several_ends_queues_once(provider: StateProvider, waiter: Claimed) -> None:
    first, second = make_claimed(provider, "a", by="second"), make_claimed(provider, "b", by="second")
    commit(provider, wait_for(waiter, "a", "b"))

    told = [commit_one(provider, finish(one)) for one in (second, first)]

    assert told == [Recorded(queues=frozenset({waiter.queue or ""})), Recorded()]


def test_an_end_queues_nobody_who_waits_for_another_or_waits_no_more(
    provider: StateProvider, waiter: Claimed, target: Claimed
) -> None:
    other = make_claimed(provider, "other", by="second")
    commit(provider, wait_for(waiter, "target"))
    assert commit_one(provider, finish(other)) == Recorded()
    assert row_of(provider, "waiter").status is Status.DELAYED
    commit(provider, CancelWorkflow("waiter"))

    outcome = commit_one(provider, finish(target))

    assert outcome == Recorded()
    assert row_of(provider, "waiter").status is Status.CANCELLED


def test_the_end_that_a_zombie_tries_to_write_leaves_the_result_open(
    provider: StateProvider, waiter: Claimed, target: Claimed
) -> None:
    reclaim(provider, target.lease, by="third")
    commit(provider, wait_for(waiter, "target"))
    commit(provider, finish(target))

    [again] = provider.claim(want(make_executor(provider, "first"), waiter.queue or "")) or [waiter]

    # On Postgres it may have been woken for nothing: then it parks again and waits on.
    assert commit_one(provider, wait_for(again, "target")) is not None
    assert row_of(provider, "waiter").status is Status.DELAYED


def test_values_tell_ends_and_what_is_not_there(provider: StateProvider, waiter: Claimed, target: Claimed) -> None:
    asked = [Awaited(RESULT, name) for name in ("target", "waiter", "nowhere")]
    commit(provider, finish(target))

    found = provider.values(asked)

    assert set(found) == {asked[0], asked[2]}
    ending = found[asked[0]]
    assert isinstance(ending, Ending)
    assert (ending.status, found[asked[2]]) == (Status.SUCCESS, Gone())


def test_a_sweep_counts_who_was_missed_and_only_of_its_own(
    provider: StateProvider, waiter: Claimed, target: Claimed
) -> None:
    commit(provider, wait_for(waiter, "target"))

    assert sweep(provider).arrived == 0
    assert row_of(provider, "waiter").queue not in {None, INTERNAL_QUEUE}
