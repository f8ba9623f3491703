"""A sweep queues what is due, buries those whose lease lapsed and frees what nobody holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durust.model.claims import Claimed
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.sweeps import Swept
from durust.model.writes import INTERNAL_QUEUE, Alive, Beat, Fenced, Retire
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    QUEUE,
    TINY_SECONDS,
    commit,
    commit_one,
    executor,
    finish,
    lapse,
    lease_of,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    record_step,
    row_of,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite
from tests.support.waiting import eventually


def test_a_sweep_of_nothing_does_nothing(provider: StateProvider) -> None:
    assert sweep(provider) == Swept()


def test_a_delay_that_is_over_queues_its_row(provider: StateProvider) -> None:
    make_enqueued(provider, "a", priority=3, dedup_id="once", delay_seconds=TINY_SECONDS)
    before = row_of(provider, "a")

    swept = eventually(lambda: next((found for found in [sweep(provider)] if found.due), None))

    after = row_of(provider, "a")
    assert swept == Swept(due=1, queues=frozenset({QUEUE}))
    assert after == replace(before, status=Status.ENQUEUED, delay_until_ms=None, updated_at_ms=after.updated_at_ms)


def test_a_delay_that_is_not_over_is_told(provider: StateProvider) -> None:
    make_enqueued(provider, "a", delay_seconds=600)
    make_enqueued(provider, "b", delay_seconds=60)

    swept = sweep(provider)

    assert (swept.due, swept.queues, swept.more) == (0, frozenset(), False)
    assert 30 < (swept.next_due_seconds or 0) <= 60


@pytest.mark.parametrize("until", [None, 2**63 - 1])
def test_a_delay_without_a_usable_end_stops_no_sweep(
    provider: StateProvider, rewrite: Rewrite, until: int | None
) -> None:
    make_enqueued(provider, "endless", delay_seconds=600)
    rewrite("endless", delay_until_epoch_ms=until)
    make_claimed(provider, "a", by="first")
    lapse(provider, "first")

    swept = sweep(provider)

    assert (swept.due, swept.released) == (0, 1)
    assert swept.next_due_seconds is None if until is None else (swept.next_due_seconds or 0) > 1e15
    assert row_of(provider, "endless").status is Status.DELAYED


def make_due(provider: StateProvider, rewrite: Rewrite, *runs: Claimed | Lease) -> None:
    """Park *runs* and let their instants pass, the last one's first."""
    for number, run in enumerate(runs):
        commit(provider, park(run))
        rewrite(lease_of(run).workflow_id, delay_until_epoch_ms=len(runs) - number)


def test_a_parked_run_that_is_due_is_queued_where_it_came_from(provider: StateProvider, rewrite: Rewrite) -> None:
    queued, direct = make_claimed(provider, "a"), make_started(provider, "b")
    make_due(provider, rewrite, queued, direct)

    swept = sweep(provider)

    assert (swept.due, swept.queues) == (2, frozenset({queued.queue, INTERNAL_QUEUE}))
    assert [row_of(provider, name).status for name in "ab"] == [Status.ENQUEUED, Status.ENQUEUED]


def test_a_sweep_keeps_to_its_limit_and_says_that_there_is_more(provider: StateProvider, rewrite: Rewrite) -> None:
    make_due(provider, rewrite, *(make_claimed(provider, name) for name in "abcde"))

    first, second, third = (sweep(provider, limit=2) for _ in range(3))

    assert [(swept.due, swept.more) for swept in (first, second)] == [(2, True), (2, True)]
    assert first.next_due_seconds == 0
    assert (third.due, third.more, third.next_due_seconds) == (1, False, None)


def test_a_limit_takes_the_rows_that_are_due_longest(provider: StateProvider, rewrite: Rewrite) -> None:
    make_due(provider, rewrite, *(make_claimed(provider, name) for name in "abc"))

    sweep(provider, limit=1)

    assert [row_of(provider, name).status for name in "abc"] == [Status.DELAYED, Status.DELAYED, Status.ENQUEUED]


def test_an_executor_whose_lease_lapsed_is_reaped_and_its_runs_go_back(provider: StateProvider) -> None:
    make_enqueued(provider, "a", priority=3, dedup_id="once")
    [claimed] = provider.claim(want(make_executor(provider, "first")))
    commit(provider, record_step(claimed))
    lapse(provider, "first")
    before = row_of(provider, "a")

    swept = sweep(provider)

    assert swept == Swept(reaped=("first",), released=1, queues=frozenset({QUEUE}))
    assert row_of(provider, "a") == replace(
        before, status=Status.ENQUEUED, executor_id=None, token=None, started_at_ms=None
    )
    dead = executor(provider, "first")
    assert (dead.state, bool(dead.why), bool(dead.ended_at_ms)) == ("DEAD", True, True)


def test_a_reaped_executor_neither_writes_nor_beats_again(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    lapse(provider, "first")
    sweep(provider)

    outcomes = commit(provider, record_step(claimed), finish(claimed), Beat(("first",), 60))

    assert outcomes == [Fenced(), Fenced(), Alive(frozenset())]


def test_an_executor_whose_lease_lapsed_but_that_nobody_reaped_may_still_write(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    lapse(provider, "first")

    assert commit_one(provider, record_step(claimed)) != Fenced()


def test_a_lease_that_holds_is_not_reaped(provider: StateProvider) -> None:
    make_claimed(provider, "a", by="first")

    assert sweep(provider) == Swept()
    assert row_of(provider, "a").status is Status.PENDING


def test_nobody_reaps_the_executors_of_his_own_supervisor(provider: StateProvider) -> None:
    make_executor(provider, "first", supervisor="boss")
    lapse(provider, "first")

    assert sweep(provider, by="boss") == Swept()
    assert sweep(provider, by="another").reaped == ("first",)


def test_a_sweep_without_reaping_reaps_nobody_and_does_the_rest(provider: StateProvider, rewrite: Rewrite) -> None:
    make_claimed(provider, "a", by="first")
    lapse(provider, "first")
    make_due(provider, rewrite, make_claimed(provider, "b", by="second"))

    swept = sweep(provider, reap=False)

    assert (swept.due, swept.reaped, swept.released) == (1, (), 0)
    assert row_of(provider, "a").executor_id == "first"


def test_a_sweep_reaps_within_its_limit(provider: StateProvider) -> None:
    for name in ("first", "second", "third"):
        make_executor(provider, name)
        lapse(provider, name)

    first, second = sweep(provider, limit=2), sweep(provider, limit=2)

    assert (len(first.reaped), first.more) == (2, True)
    assert (len(second.reaped), second.more) == (1, False)
    assert {*first.reaped, *second.reaped} == {"first", "second", "third"}


@pytest.mark.parametrize("owner", ["unknown", "dead"])
def test_a_row_whose_owner_is_gone_goes_back(provider: StateProvider, rewrite: Rewrite, owner: str) -> None:
    claimed = make_claimed(provider, "a", by="first")
    make_executor(provider, "du:dead")
    commit(provider, Retire(("du:dead",), "killed"))
    rewrite("a", executor_id=f"du:{owner}")
    before = row_of(provider, "a")

    swept = sweep(provider)

    assert swept == Swept(orphans=1, queues=frozenset({claimed.queue or ""}))
    assert row_of(provider, "a") == replace(
        before, status=Status.ENQUEUED, executor_id=None, token=None, started_at_ms=None
    )


def test_a_row_of_another_librarys_executor_is_left_alone(provider: StateProvider, rewrite: Rewrite) -> None:
    make_claimed(provider, "a", by="first")
    rewrite("a", executor_id="local")

    assert sweep(provider) == Swept()
    assert row_of(provider, "a").status is Status.PENDING


def test_a_row_of_a_living_or_draining_executor_is_no_orphan(provider: StateProvider) -> None:
    make_claimed(provider, "a", by="du:first")

    assert sweep(provider) == Swept()


def test_orphans_are_freed_within_the_limit(provider: StateProvider, rewrite: Rewrite) -> None:
    for name in "abc":
        make_claimed(provider, name)
        rewrite(name, executor_id="du:unknown")

    first, second = sweep(provider, limit=2), sweep(provider, limit=2)

    assert (first.orphans, first.more) == (2, True)
    assert (second.orphans, second.more) == (1, False)


@pytest.mark.covers(190)
def test_a_sweep_leaves_rows_of_another_application_alone(provider: StateProvider, rewrite: Rewrite) -> None:
    make_due(provider, rewrite, make_claimed(provider, "a"))
    make_claimed(provider, "b")
    rewrite("b", executor_id="du:unknown")

    assert sweep(provider, app="other") == Swept()
    assert sweep(provider) != Swept()


def test_rows_without_an_application_are_swept_by_whoever_knows_the_name(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    for name in ("ship", "unknown"):
        make_enqueued(provider, name, name=name, delay_seconds=600)
        rewrite(name, application_name=None)
        rewrite(name, delay_until_epoch_ms=1)

    swept = sweep(provider, app="whoever")

    assert swept.due == 1
    assert [row_of(provider, name).status for name in ("ship", "unknown")] == [Status.ENQUEUED, Status.DELAYED]


def test_everything_that_got_rows_is_named(provider: StateProvider, rewrite: Rewrite) -> None:
    parked, held, lost = (make_claimed(provider, name, by=f"du:{name}") for name in "abc")
    make_due(provider, rewrite, parked)
    lapse(provider, "du:b")
    rewrite("c", executor_id="du:unknown")

    swept = sweep(provider)

    assert swept.queues == {parked.queue, held.queue, lost.queue}
    assert (swept.due, swept.released, swept.orphans) == (1, 1, 1)
