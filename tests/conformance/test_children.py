"""A child is there with its link in its parent's history, or neither is; a cancel reaches what a workflow led to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust import clock
from durust.model.claims import Claimed
from durust.model.records import Checkpoint, Lease
from durust.model.status import Status
from durust.model.waits import RESULT
from durust.model.writes import (
    INTERNAL_QUEUE,
    CalledOff,
    Diverged,
    Duplicate,
    Existing,
    Fenced,
    HistoryLost,
    Missing,
    ParkWorkflow,
    Recorded,
    Refused,
    StoreQueue,
    Wait,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    LONG_SECONDS,
    NAME,
    QUEUE,
    cancel,
    commit,
    commit_one,
    finish,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    reclaim,
    record_step,
    resume,
    row_of,
    start_child,
    want,
)

ROOT = "root"


def make_child(provider: StateProvider, of: Claimed | Lease, child_id: str = "", **fields: Any) -> str:
    """Start a child of a run and return its id."""
    outcome = commit_one(provider, start_child(of, child_id, **fields))
    assert isinstance(outcome, Recorded)
    return outcome.workflow_id or ""


def make_tree(provider: StateProvider, levels: int) -> list[str]:
    """Start a workflow that runs, with a running child of a running child and so on; return their ids."""
    run = make_claimed(provider, ROOT)
    ids = [ROOT]
    for level in range(1, levels):
        queue = f"level {level}"
        ids.append(make_child(provider, run, f"{ids[-1]}-1", queue=queue))
        [run] = provider.claim(want("first", queue))
    return ids


def statuses(provider: StateProvider, ids: list[str]) -> list[Status]:
    """Return the states of workflows."""
    return [row_of(provider, workflow_id).status for workflow_id in ids]


@pytest.mark.covers(122)
@pytest.mark.protocol("4.child")
def test_a_child_is_queued_and_linked(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)

    outcome = commit_one(provider, start_child(run, "child", place=3, queue=None, name="bill"))

    assert outcome == Recorded(workflow_id="child")
    child = row_of(provider, "child")
    assert (child.status, child.queue, child.parent_id) == (Status.ENQUEUED, INTERNAL_QUEUE, ROOT)
    assert history(provider, ROOT) == [
        Checkpoint(
            place=3,
            name="bill",
            output='"child"',
            serialization="portable_json",
            child_id="child",
            started_at_ms=1_003,
            completed_at_ms=2_003,
            claim=run.lease.token,
        )
    ]


@pytest.mark.covers(126)
def test_a_child_keeps_what_its_start_says(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    write = start_child(
        run,
        "child",
        priority=3,
        delay_seconds=LONG_SECONDS,
        dedup_id="d",
        partition_key="p",
        app_version="v9",
        timeout_ms=7,
        deadline_ms=9_000_000_000_000,
        authenticated_user="ann",
        authenticated_roles='["admin"]',
        attributes='{"a":1}',
    )

    commit_one(provider, write)

    child = row_of(provider, "child")
    assert child.status is Status.DELAYED
    assert child.delay_until_ms is not None
    assert (child.priority, child.dedup_id, child.partition_key, child.app_version) == (3, "d", "p", "v9")
    assert (child.timeout_ms, child.deadline_ms, child.inputs) == (7, 9_000_000_000_000, '["child"]')
    assert (child.authenticated_user, child.authenticated_roles) == ("ann", '["admin"]')
    assert child.attributes is not None


def test_a_repeated_start_of_a_child_changes_nothing(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    write = start_child(run, "child")
    commit_one(provider, write)

    outcomes = commit(provider, write, replace(write))

    assert outcomes == [Recorded(workflow_id="child")] * 2
    assert [step.child_id for step in history(provider, ROOT)] == ["child"]


@pytest.mark.covers(61)
def test_a_run_that_goes_on_finds_the_child_that_was_linked(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT, by="first")
    make_child(provider, run)

    [step] = reclaim(provider, run.lease, by="second").history

    assert step.child_id == f"{ROOT}-1"


def test_an_id_that_stands_for_a_workflow_of_that_name_is_linked(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "known")

    child_id = make_child(provider, run, "known", queue="another")

    assert child_id == "known"
    known = row_of(provider, "known")
    assert (known.queue, known.parent_id) == (QUEUE, None)
    assert [step.child_id for step in history(provider, ROOT)] == ["known"]


@pytest.mark.covers(2)
def test_an_id_that_stands_for_another_workflow_is_not_linked(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "known")

    outcome = commit_one(provider, start_child(run, "known", name="bill"))

    assert isinstance(outcome, Existing)
    assert (outcome.row.workflow_id, outcome.row.name) == ("known", NAME)
    assert history(provider, ROOT) == []


@pytest.mark.covers(85)
def test_a_deduplication_id_that_is_taken_admits_no_child(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "holder", dedup_id="d")

    outcome = commit_one(provider, start_child(run, "child", dedup_id="d"))

    assert outcome == Duplicate("holder")
    assert history(provider, ROOT) == []
    assert commit_one(provider, cancel("child")) == Missing()


@pytest.mark.covers(84)
def test_a_child_attaches_to_the_holder_of_its_deduplication_id(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "holder", dedup_id="d")

    outcome = commit_one(provider, start_child(run, "child", attaches=True, dedup_id="d"))

    assert outcome == Recorded(workflow_id="holder")
    assert [step.child_id for step in history(provider, ROOT)] == ["holder"]
    assert commit_one(provider, cancel("child")) == Missing()


def test_a_child_does_not_attach_to_a_workflow_of_another_name(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "holder", dedup_id="d")

    outcome = commit_one(provider, start_child(run, "child", attaches=True, dedup_id="d", name="bill"))

    assert outcome == Duplicate("holder")


@pytest.mark.covers(84)
def test_a_child_begins_anew_when_the_holder_has_ended(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_enqueued(provider, "holder", dedup_id="d")
    commit_one(provider, cancel("holder"))

    assert make_child(provider, run, "child", attaches=True, dedup_id="d") == "child"


def test_children_of_one_batch_contend_for_id_and_deduplication_id(provider: StateProvider) -> None:
    one, other, third = (make_claimed(provider, name) for name in ("one", "other", "third"))

    outcomes = commit(
        provider,
        start_child(one, "same"),
        start_child(other, "same"),
        start_child(third, "same", name="bill"),
        start_child(one, "holder", place=2, dedup_id="d"),
        start_child(other, "late", place=2, dedup_id="d"),
        start_child(third, "later", place=2, dedup_id="d", attaches=True),
    )

    assert outcomes[:2] == [Recorded(workflow_id="same")] * 2
    assert isinstance(outcomes[2], Existing)
    assert outcomes[3:] == [Recorded(workflow_id="holder"), Duplicate("holder"), Recorded(workflow_id="holder")]
    assert row_of(provider, "same").parent_id == "one"


@pytest.mark.protocol("4.child")
@pytest.mark.parametrize("end", ["cancelled", "reclaimed", "finished", "parked", "unknown"])
def test_a_run_that_lost_its_claim_starts_no_child(provider: StateProvider, end: str) -> None:
    run = make_claimed(provider, ROOT, by="first")
    holder = None
    match end:
        case "cancelled":
            commit_one(provider, cancel(ROOT))
        case "reclaimed":
            holder = reclaim(provider, run.lease, by="second").lease.executor_id
        case "finished":
            commit_one(provider, finish(run))
        case "parked":
            commit_one(provider, park(run))
        case _:
            run = replace(run, lease=replace(run.lease, workflow_id="unknown"))

    outcome = commit_one(provider, start_child(run, "child"))

    assert outcome == Fenced(holder)
    assert commit_one(provider, cancel("child")) == Missing()


def test_a_place_that_holds_another_record_gets_no_child(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    commit_one(provider, record_step(run, 1))

    outcome = commit_one(provider, start_child(run, "child"))

    assert isinstance(outcome, Diverged)
    assert outcome.record.name == "charge"
    assert commit_one(provider, cancel("child")) == Missing()


def test_a_run_whose_last_record_is_lost_starts_no_child(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)

    outcome = commit_one(provider, start_child(run, "child", after=7))

    assert outcome == HistoryLost()
    assert commit_one(provider, cancel("child")) == Missing()


def test_a_child_counts_beside_the_other_writes_of_its_batch(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)

    outcomes = commit(provider, finish(run), start_child(run, "child", place=2), record_step(run, 1))

    assert outcomes == [Recorded(), Recorded(workflow_id="child"), Recorded()]
    assert row_of(provider, ROOT).status is Status.SUCCESS


def test_a_child_under_a_lease_is_refused(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    write = start_child(run, "child")

    outcome = commit_one(provider, replace(write, start=replace(write.start, lease=run.lease)))

    assert isinstance(outcome, Refused)


@pytest.mark.covers(126)
@pytest.mark.parametrize("is_first", [True, False])
def test_the_earlier_of_deadline_and_timeout_counts(provider: StateProvider, *, is_first: bool) -> None:
    run = make_claimed(provider, ROOT)
    deadline_ms = clock.now_ms() + (100_000_000 if is_first else 900_000_000)
    make_child(provider, run, "child", queue="q", timeout_ms=500_000_000, deadline_ms=deadline_ms)

    [claimed] = provider.claim(want("first", "q"))

    assert claimed.deadline_ms is not None
    assert (claimed.deadline_ms == deadline_ms) is is_first
    assert claimed.deadline_ms <= deadline_ms


@pytest.mark.covers(124)
@pytest.mark.protocol("4.cancel.children")
def test_a_cancel_with_children_reaches_all_levels(provider: StateProvider) -> None:
    ids = make_tree(provider, 4)

    outcome = commit_one(provider, cancel(ROOT, children=True))

    assert outcome == CalledOff(tuple(sorted(ids)))
    assert statuses(provider, ids) == [Status.CANCELLED] * 4
    assert row_of(provider, ids[-1]).token is None


@pytest.mark.covers(124)
def test_a_cancel_without_children_leaves_them(provider: StateProvider) -> None:
    ids = make_tree(provider, 3)

    outcome = commit_one(provider, cancel(ROOT))

    assert outcome == Recorded()
    assert statuses(provider, ids) == [Status.CANCELLED, Status.PENDING, Status.PENDING]


def test_a_cancel_reaches_children_through_parents_that_have_ended(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)
    make_child(provider, run, "child", queue="q")
    commit_one(provider, finish(run))
    [child] = provider.claim(want("first", "q"))
    make_child(provider, child, "grandchild")
    commit_one(provider, finish(child))

    outcome = commit_one(provider, cancel(ROOT, children=True))

    assert outcome == CalledOff(("grandchild",))
    assert statuses(provider, [ROOT, "child", "grandchild"]) == [Status.SUCCESS, Status.SUCCESS, Status.CANCELLED]


def test_a_cancel_leaves_what_was_only_linked(provider: StateProvider) -> None:
    make_enqueued(provider, "known")
    make_child(provider, make_claimed(provider, ROOT), "known")

    commit_one(provider, cancel(ROOT, children=True))

    assert row_of(provider, "known").status is Status.ENQUEUED


def test_a_repeated_cancel_with_children_ends_nothing_more(provider: StateProvider) -> None:
    make_tree(provider, 2)
    commit_one(provider, cancel(ROOT, children=True))

    outcomes = commit(provider, cancel(ROOT, children=True), cancel("unknown", children=True))

    assert outcomes == [CalledOff(()), Missing()]


def test_cancels_of_overlapping_trees_share_what_they_end(provider: StateProvider) -> None:
    ids = make_tree(provider, 3)
    make_enqueued(provider, "alone")

    outcomes = commit(
        provider, cancel(ids[1], children=True), cancel("alone"), cancel(ROOT, children=True), cancel("unknown")
    )

    assert outcomes[1::2] == [Recorded(), Missing()]
    assert statuses(provider, [*ids, "alone"]) == [Status.CANCELLED] * 4
    assert {key for one in outcomes if isinstance(one, CalledOff) for key in one.workflow_ids} == set(ids)


@pytest.mark.protocol("4.cancel.children")
def test_a_child_of_the_batch_that_cancels_its_parent_is_ended_too(provider: StateProvider) -> None:
    run = make_claimed(provider, ROOT)

    commit(provider, cancel(ROOT, children=True), start_child(run, "child"))

    assert statuses(provider, [ROOT, "child"]) == [Status.CANCELLED] * 2


def test_a_resumed_parent_starts_children_again_and_the_old_ones_stay_cancelled(provider: StateProvider) -> None:
    ids = make_tree(provider, 2)
    commit(provider, cancel(ROOT, children=True))
    commit(provider, resume(ROOT))
    [run] = provider.claim(want("first", row_of(provider, ROOT).queue or ""))

    make_child(provider, run, "new", place=2)

    assert statuses(provider, [*ids, "new"]) == [Status.PENDING, Status.CANCELLED, Status.ENQUEUED]
    assert commit_one(provider, cancel(ROOT, children=True)) == CalledOff(tuple(sorted((ROOT, "new"))))


@pytest.mark.protocol("4.cancel.children")
def test_whoever_is_parked_for_a_child_goes_on_when_a_cascade_ends_it(provider: StateProvider) -> None:
    ids = make_tree(provider, 3)
    waiter = make_claimed(provider, "waiter")
    commit_one(provider, ParkWorkflow(waiter.lease, None, None, (Wait(1, RESULT, ids[-1]),)))
    assert statuses(provider, ["waiter"]) == [Status.DELAYED]

    outcome = commit_one(provider, cancel(ROOT, children=True))

    assert outcome == CalledOff(tuple(sorted(ids)), frozenset({waiter.queue or ""}))
    assert statuses(provider, ["waiter"]) == [Status.ENQUEUED]


def test_a_run_that_starts_a_child_keeps_its_share_of_a_budget(provider: StateProvider) -> None:
    make_executor(provider, "first")
    commit(provider, StoreQueue("q", None, APP, global_concurrency=1))
    make_enqueued(provider, ROOT, queue="q")
    [run] = provider.claim(want("first", "q"))

    make_child(provider, run, "child", queue="q")

    assert provider.open_grants("first") == [run.lease.token]
    assert provider.claim(want("first", "q")) == []
