"""Forks and deletions meet what else happens to their workflow; each race is lost without what settles it."""

from __future__ import annotations

import pytest

from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import forks, orders, publications
from durust.storage.postgres_writes.steps import record_steps
from tests.conformance.builders import (
    commit,
    delete,
    finish,
    fork,
    history,
    make_claimed,
    record_step,
    row_of,
)
from tests.conformance.publishing import set_event
from tests.storage.races import Race, cut

CLOCK = "clock_timestamp() returns timestamptz"
UPDATE = "for no key update"
SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
# The same copy in two snapshots: what a fork by one statement for each table would do.
EVENTS = """
insert into dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
select 'b', h.function_id, h.key, h.value, h.serialization
  from dbos.workflow_events_history h
 where h.workflow_uuid = 'a' and h.function_id < 9
    on conflict do nothing
"""


def forking() -> columns.Params:
    """Return the parameters of a fork of the one workflow, whole."""
    return forks.fork_workflows([fork("a", "b", 9)])


def places_of_events(race: Race, workflow: str) -> list[int]:
    """Return the places at which a workflow's events were set."""
    sql = "select function_id from dbos.workflow_events_history where workflow_uuid = %(id)s order by 1"
    return [row[0] for row in race.observer.do(sql, {"id": workflow})]


@pytest.mark.covers(132)
@pytest.mark.protocol("4.fork")
@SHIPPED_OR_CUT
def test_a_fork_that_waits_for_a_checkpoint_has_no_event_without_its_step(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    commit(provider, record_step(run), set_event(run, 2, after=1))
    owner, forker = race.actor("owner"), race.actor("forker")
    owner.do("begin")
    assert owner.do(SQL.record_steps.sql, record_steps([record_step(run, 3, after=2)]))
    assert owner.do(SQL.set_events.sql, publications.publish([set_event(run, 4, after=3)]))

    forked = forker.start(SQL.fork_workflows.sql, forking())
    race.until_waiting(forker)
    owner.do("commit")
    assert forked.result() == [("b",)]
    if is_cut:
        forker.do(EVENTS)

    steps = [record.place for record in history(provider, "b")]
    assert steps in ([1, 2], [1, 2, 3, 4])
    assert (set(places_of_events(race, "b")) <= set(steps)) is not is_cut


@pytest.mark.covers(132)
@pytest.mark.protocol("4.fork")
@pytest.mark.parametrize("is_held", [True, False], ids=["after its snapshot", "after its end"])
def test_a_run_goes_on_behind_a_fork_of_it(provider: PostgresProvider, race: Race, *, is_held: bool) -> None:
    run = make_claimed(provider, "a")
    commit(provider, record_step(run), set_event(run, 2, after=1))
    owner, forker = race.actor("owner"), race.actor("forker")
    write = publications.publish([set_event(run, 3, after=2)])
    forker.do("begin")

    if is_held:
        with race.held(forker, CLOCK):
            forked = forker.start(SQL.fork_workflows.sql, forking())
            race.until_waiting(forker)
            recorded = owner.start(SQL.set_events.sql, write)
            race.until_settled(owner, recorded)
        assert forked.result() == [("b",)]
    else:
        assert forker.do(SQL.fork_workflows.sql, forking()) == [("b",)]
        recorded = owner.start(SQL.set_events.sql, write)
        race.until_waiting(owner)
    forker.do("commit")

    assert recorded.result() == [("a", 3)]
    assert [record.place for record in history(provider, "b")] == [1, 2]
    assert places_of_events(race, "b") == [2]
    assert [record.place for record in history(provider, "a")] == [1, 2, 3]
    assert row_of(provider, "a").was_forked_from


@pytest.mark.protocol("4.fork")
@SHIPPED_OR_CUT
def test_nothing_is_forked_that_is_deleted_first(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    run = make_claimed(provider, "a")
    commit(provider, record_step(run))
    remover, forker = race.actor("remover"), race.actor("forker")
    remover.do("begin")
    remover.do(SQL.lock_doomed.sql, orders.delete_workflows([delete("a")]))
    remover.do(SQL.delete_workflows.sql, orders.delete_workflows([delete("a")]))

    sql = cut(SQL.fork_workflows.sql, UPDATE) if is_cut else SQL.fork_workflows.sql
    forked = forker.start(sql, forking())
    race.until_waiting(forker)
    remover.do("commit")

    assert forked.result() == ([("b",)] if is_cut else [])


@SHIPPED_OR_CUT
def test_two_forks_of_the_same_two_sources_do_not_wait_in_a_circle(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    commit(provider, finish(make_claimed(provider, "a")), finish(make_claimed(provider, "c")))
    one, other = race.actor("one"), race.actor("other")
    there = forks.fork_workflows([fork("a", "a 1", 1), fork("c", "c 1", 1)])
    back = forks.fork_workflows([fork("c", "c 2", 1), fork("a", "a 2", 1)])
    sql = SQL.fork_workflows.sql
    if is_cut:
        sql = cut(sql, "(select i.* from input i order by i.id) i", "(select i.* from input i order by i.number) i")
    one.do("begin")
    one.do("select from dbos.workflow_status where workflow_uuid = 'a' for no key update")

    waiting = other.start(sql, back)
    race.until_waiting(other)

    # Who asks in the order of the ids holds nothing while he waits for the first of them.
    free = race.actor("third").start(
        "select workflow_uuid from dbos.workflow_status where workflow_uuid = 'c' for no key update skip locked"
    )
    assert free.result() == ([] if is_cut else [("c",)])
    one.do("commit")
    assert sorted(waiting.result()) == [("a 2",), ("c 2",)]
    assert len(one.do(sql, there)) == 2


@pytest.mark.covers(138)
@SHIPPED_OR_CUT
def test_a_record_under_way_does_not_outlive_its_workflow(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    owner, remover = race.actor("owner"), race.actor("remover")
    owner.do("begin")
    assert owner.do(SQL.record_steps.sql, record_steps([record_step(run)]))

    remover.do("begin")
    ids = orders.delete_workflows([delete("a")])
    # Cut: the removal alone, whose snapshot is older than the lock that it waits for.
    removed = remover.start(SQL.delete_workflows.sql if is_cut else SQL.lock_doomed.sql, ids)
    race.until_waiting(remover)
    owner.do("commit")
    removed.result()
    if not is_cut:
        remover.do(SQL.delete_workflows.sql, ids)
    remover.do("commit")

    assert bool(history(provider, "a")) is is_cut


@pytest.mark.covers(138)
def test_a_record_that_comes_later_is_refused(provider: PostgresProvider, race: Race) -> None:
    run = make_claimed(provider, "a")
    owner, remover = race.actor("owner"), race.actor("remover")
    remover.do("begin")
    remover.do(SQL.lock_doomed.sql, orders.delete_workflows([delete("a")]))
    remover.do(SQL.delete_workflows.sql, orders.delete_workflows([delete("a")]))

    recorded = owner.start(SQL.record_steps.sql, record_steps([record_step(run)]))
    race.until_waiting(owner)
    remover.do("commit")

    assert recorded.result() == []
    assert history(provider, "a") == []
