"""Starts of children meet cancels of their parents, and each other; each race is lost once a clause is cut out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from durust.model.status import Status
from durust.model.writes import Duplicate, Outcome, Recorded
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import cancels, children, endings
from durust.storage.statements import Statement
from tests.conformance.builders import (
    cancel,
    commit_one,
    finish,
    history,
    make_claimed,
    make_enqueued,
    row_of,
    start_child,
    want,
)
from tests.storage.races import Race, cut

SHARE, UPDATE = "for share", "for no key update"
SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
CANCELS = pytest.mark.parametrize("cancelling", [SQL.cancel_workflows, SQL.cancel_trees], ids=lambda each: each.name)


def ended(*ids: str) -> columns.Params:
    """Return the parameters of a cancel."""
    return cancels.cancel_workflows([cancel(workflow_id) for workflow_id in ids])


@pytest.mark.covers(124)
@pytest.mark.protocol("4.child")
@CANCELS
@SHIPPED_OR_CUT
def test_a_child_whose_parent_is_being_cancelled_is_not_started(
    provider: PostgresProvider, race: Race, cancelling: Statement, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    other, parent = race.actor("other"), race.actor("parent")
    other.do("begin")
    assert other.do(cancelling.sql, ended("a"))

    sql = cut(SQL.start_children.sql, SHARE) if is_cut else SQL.start_children.sql
    started = parent.start(sql, children.start_children([start_child(run, "child")]))
    race.until_settled(parent, started)
    other.do("commit")

    assert bool(started.result()) is is_cut
    assert bool(history(provider, "a")) is is_cut
    # Cut, a child runs that no cancel of its parent has seen.
    assert bool(race.observer.do("select 1 from dbos.workflow_status where workflow_uuid = 'child'")) is is_cut


@pytest.mark.covers(124)
@pytest.mark.protocol("4.cancel.children")
@SHIPPED_OR_CUT
def test_a_child_that_is_being_started_is_cancelled_with_its_parent(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    parent, other = race.actor("parent"), race.actor("other")
    parent.do("begin")
    assert parent.do(SQL.start_children.sql, children.start_children([start_child(run, "child")]))

    other.do("begin")
    first = other.start(SQL.cancel_trees.sql, ended("a"))
    race.until_waiting(other)
    parent.do("commit")
    passes = [first.result()]
    # Cut, the cascade is one pass, whose snapshot is older than the child.
    passes += [] if is_cut else [other.do(SQL.cancel_trees.sql, ended("a")) for _ in range(cancels.CASCADE_PASSES - 1)]
    other.do("commit")

    assert passes == [[("a", "a")]] if is_cut else [[("a", "a")], [("a", "child")], []]
    assert row_of(provider, "child").status is (Status.ENQUEUED if is_cut else Status.CANCELLED)


@pytest.mark.protocol("4.cancel.children")
def test_a_cascade_whose_last_pass_still_found_something_is_sent_again(
    provider: PostgresProvider, race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancels, "CASCADE_PASSES", 1)
    run = make_claimed(provider, "a")
    parent = race.actor("parent")
    parent.do("begin")
    parent.do(SQL.start_children.sql, children.start_children([start_child(run, "child")]))

    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(commit_one, provider, cancel("a", children=True))
        race.until_somebody_waits()
        parent.do("commit")
        cancelled.result()

    assert [row_of(provider, each).status for each in ("a", "child")] == [Status.CANCELLED] * 2


@pytest.mark.protocol("4.cancel.children")
@SHIPPED_OR_CUT
def test_a_cascade_that_races_the_end_of_a_child_leaves_its_result(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    commit_one(provider, start_child(run, "child", queue="q"))
    [child] = provider.claim(want("first", "q"))
    owner, other = race.actor("owner"), race.actor("other")
    owner.do("begin")
    assert owner.do(SQL.finish_workflows.sql, endings.finish_workflows([finish(child)]))

    sql = cut(SQL.cancel_trees.sql, UPDATE) if is_cut else SQL.cancel_trees.sql
    cancelled = other.start(sql, ended("a"))
    race.until_waiting(other)
    owner.do("commit")

    assert len(cancelled.result()) == (2 if is_cut else 1)
    assert row_of(provider, "child").status is (Status.CANCELLED if is_cut else Status.SUCCESS)


@pytest.mark.covers(84)
@pytest.mark.protocol("4.checkpoints.dedup")
@pytest.mark.parametrize("same", ["id", "deduplication id", "deduplication id to attach to"])
def test_of_two_starts_of_one_child_the_second_waits_and_finds_the_first(
    provider: PostgresProvider, race: Race, same: str
) -> None:
    one, other = make_claimed(provider, "one"), make_claimed(provider, "other")
    attaches = same.endswith("attach to")
    dedup_id = None if same == "id" else "d"
    first = race.actor("first")
    first.do("begin")
    begun = start_child(one, "child", dedup_id=dedup_id)
    assert first.do(SQL.start_children.sql, children.start_children([begun]))

    with ThreadPoolExecutor(1) as pool:
        child_id = "child" if same == "id" else "late"
        second = pool.submit(commit_one, provider, start_child(other, child_id, dedup_id=dedup_id, attaches=attaches))
        race.until_somebody_waits()
        first.do("commit")
        outcome: Outcome = second.result()

    assert outcome == (Duplicate("child") if same == "deduplication id" else Recorded(workflow_id="child"))
    assert len(history(provider, "other")) == int(same != "deduplication id")


@pytest.mark.covers(84)
@SHIPPED_OR_CUT
def test_a_child_whose_holder_ends_just_then_is_linked_to_itself(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    make_enqueued(provider, "holder", dedup_id="d")
    ender, parent = race.actor("ender"), race.actor("parent")
    ender.do("begin")
    ender.do(SQL.cancel_workflows.sql, ended("holder"))

    # Cut, what stood in the snapshot comes before what was inserted.
    inserted = "case when m.is_started then m.child else coalesce(w.workflow_uuid, d.workflow_uuid) end"
    held = "coalesce(d.workflow_uuid, m.child)"
    sql = cut(SQL.start_children.sql, inserted, held) if is_cut else SQL.start_children.sql
    write = start_child(run, "child", dedup_id="d", attaches=True)
    started = parent.start(sql, children.start_children([write]))
    race.until_waiting(parent)
    ender.do("commit")

    assert started.result() == [("a", 1, "holder" if is_cut else "child")]
    assert row_of(provider, "child").status is Status.ENQUEUED
