"""A deleted workflow leaves nothing behind, and a run of it writes nothing any more."""

from __future__ import annotations

import pytest

from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    CalledOff,
    CancelWorkflow,
    EndGrants,
    Fenced,
    Missing,
    Recorded,
    StoreQueue,
)
from durust.storage.provider import StateProvider
from tests.conformance.belongings import Belongings
from tests.conformance.builders import (
    APP,
    QUEUE,
    commit,
    commit_one,
    delete,
    finish,
    fork,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    record_step,
    row_of,
    start,
    want,
)

KINDS = ["queued", "delayed", "running", "parked", "ended"]


def make(provider: StateProvider, kind: str, workflow_id: str = "a") -> None:
    """Make a workflow that is in one of the states."""
    if kind in {"queued", "delayed"}:
        make_enqueued(provider, workflow_id, delay_seconds=600 if kind == "delayed" else 0)
        return
    claimed = make_claimed(provider, workflow_id)
    commit(provider, record_step(claimed))
    commit(provider, *([park(claimed)] if kind == "parked" else [finish(claimed)] if kind == "ended" else []))


@pytest.mark.covers(138)
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_workflow_goes_whatever_it_does(provider: StateProvider, belongings: Belongings, kind: str) -> None:
    make(provider, kind)
    make(provider, kind, "neighbour")
    for workflow in ("a", "neighbour"):
        belongings.event(workflow, 1, "stage", '"begun"')
        belongings.append(workflow, 1, "log", '"one"', offset=0)
        belongings.message(workflow, f"to {workflow}")
        belongings.message(workflow, f"more to {workflow}", consumed_by=1)
    kept = belongings.count("neighbour")

    outcome = commit_one(provider, delete("a"))

    assert outcome == Recorded()
    assert (belongings.count("a"), belongings.count("neighbour")) == (0, kept)


@pytest.mark.covers(130, 138)
def test_what_is_gone_already_is_missing_and_its_neighbours_go(provider: StateProvider) -> None:
    make(provider, "ended", "a")
    make(provider, "ended", "b")
    commit(provider, delete("a"))

    outcomes = commit(provider, delete("a"), delete("b"), delete("nobody"))

    assert outcomes == [Missing(), Recorded(), Missing()]


@pytest.mark.covers(138)
def test_the_run_of_a_deleted_workflow_writes_nothing(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed))

    commit(provider, delete("a"))

    outcomes = commit(provider, record_step(claimed, 2, after=1), finish(claimed, after=1))
    assert outcomes == [Fenced(), Fenced()]
    assert history(provider, "a") == []


def test_an_id_is_free_again_and_begins_without_a_history(provider: StateProvider) -> None:
    make(provider, "running")
    old = row_of(provider, "a").executor_id
    commit(provider, delete("a"))

    commit(provider, start("a", app_version="v1"))

    assert (row_of(provider, "a").status, old) == (Status.ENQUEUED, "first")
    [claimed] = provider.claim(want(make_executor(provider, "second"), QUEUE))
    assert (claimed.lease.workflow_id, claimed.attempts, claimed.history) == ("a", 1, ())


def test_a_deduplication_id_is_free_again(provider: StateProvider) -> None:
    make_enqueued(provider, "a", dedup_id="once")

    commit(provider, delete("a"))

    assert isinstance(commit_one(provider, start("b", dedup_id="once")), Recorded)


def test_a_fork_outlives_its_source(provider: StateProvider) -> None:
    make(provider, "ended")
    commit(provider, fork("a", "b", 2))

    commit(provider, delete("a"))

    assert row_of(provider, "b").forked_from == "a"
    [claimed] = provider.claim(want(make_executor(provider, "second"), INTERNAL_QUEUE))
    assert [record.place for record in claimed.history] == [1]


def test_the_share_of_a_budget_ends_with_the_body_and_not_with_the_row(provider: StateProvider) -> None:
    commit(provider, StoreQueue(QUEUE, None, APP, global_concurrency=1))
    make_enqueued(provider, "a")
    make_enqueued(provider, "b")
    request = want(make_executor(provider, "first"), QUEUE)
    [claimed] = provider.claim(request)

    commit(provider, delete("a"))

    assert list(provider.claim(request)) == []
    commit(provider, EndGrants((claimed.lease.token,)))
    assert [one.lease.workflow_id for one in provider.claim(request)] == ["b"]


@pytest.mark.covers(124)
def test_a_cancel_with_children_reaches_those_of_a_deleted_workflow(provider: StateProvider) -> None:
    commit(provider, start("a"), start("a-1", parent_id="a"), start("a-1-1", parent_id="a-1"))
    commit(provider, delete("a"))

    outcomes = [commit_one(provider, CancelWorkflow("a", children=True)) for _ in range(2)]

    assert outcomes == [CalledOff(("a-1", "a-1-1")), Missing()]
