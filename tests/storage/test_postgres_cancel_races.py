"""Cancels, resumes and deadlines meet what else happens to a row; each race is lost once the lock is cut out."""

from __future__ import annotations

import pytest

from durust.model.status import Status
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.claiming import claim_workflows
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import cancels, endings, orders, steps
from tests.conformance.builders import (
    APP,
    NAME,
    cancel,
    commit,
    expire,
    finish,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    record_step,
    resume,
    row_of,
    want,
)
from tests.storage.races import Race, cut

UPDATE, SKIP = "for no key update", "for update skip locked"
CLOCK = "clock_timestamp() returns timestamptz"
SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])


def cancelling() -> columns.Params:
    """Return the parameters of a cancel of the one workflow."""
    return cancels.cancel_workflows([cancel("a")])


def resuming() -> columns.Params:
    """Return the parameters of a resume of the one workflow."""
    return orders.resume_workflows([resume("a")])


def sweeping() -> columns.Params:
    """Return the parameters of a sweep's statements."""
    return {"app": APP, "names": columns.texts([NAME]), "limit": 10, "internal": "internal"}


def claiming(queue: str) -> columns.Params:
    """Return the parameters of a claim."""
    return claim_workflows(want("first", queue))


@pytest.mark.covers(128)
@pytest.mark.protocol("4.cancel")
@SHIPPED_OR_CUT
def test_a_checkpoint_that_races_a_cancel_is_refused(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    run = make_claimed(provider, "a")
    other, owner = race.actor("other"), race.actor("owner")
    other.do("begin")
    assert other.do(SQL.cancel_workflows.sql, cancelling()) == [("a",)]

    sql = cut(SQL.record_steps.sql, "for share") if is_cut else SQL.record_steps.sql
    written = owner.start(sql, steps.record_steps([record_step(run)]))
    race.until_settled(owner, written)
    other.do("commit")

    assert bool(written.result()) is is_cut
    assert bool(history(provider, "a")) is is_cut
    assert row_of(provider, "a").status is Status.CANCELLED


@pytest.mark.protocol("4.cancel")
def test_a_cancel_waits_for_the_checkpoint_under_way(provider: PostgresProvider, race: Race) -> None:
    run = make_claimed(provider, "a")
    owner, other = race.actor("owner"), race.actor("other")
    owner.do("begin")
    assert owner.do(SQL.record_steps.sql, steps.record_steps([record_step(run)]))

    cancelled = other.start(SQL.cancel_workflows.sql, cancelling())
    race.until_waiting(other)
    owner.do("commit")

    assert cancelled.result() == [("a",)]
    assert len(history(provider, "a")) == 1


@pytest.mark.covers(131)
@pytest.mark.protocol("4.cancel")
@SHIPPED_OR_CUT
def test_a_cancel_that_races_the_end_of_a_run_leaves_its_result(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    owner, other = race.actor("owner"), race.actor("other")
    owner.do("begin")
    assert owner.do(SQL.finish_workflows.sql, endings.finish_workflows([finish(run)]))

    sql = cut(SQL.cancel_workflows.sql, UPDATE) if is_cut else SQL.cancel_workflows.sql
    cancelled = other.start(sql, cancelling())
    race.until_waiting(other)
    owner.do("commit")

    assert bool(cancelled.result()) is is_cut
    assert row_of(provider, "a").status is (Status.CANCELLED if is_cut else Status.SUCCESS)


@pytest.mark.covers(131, 135)
@pytest.mark.protocol("4.timeout")
@SHIPPED_OR_CUT
def test_a_timer_that_races_the_end_of_its_run_leaves_its_result(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a", deadline_ms=1)
    owner, timer = race.actor("owner"), race.actor("timer")
    owner.do("begin")
    assert owner.do(SQL.finish_workflows.sql, endings.finish_workflows([finish(run)]))

    sql = cut(SQL.expire_workflows.sql, UPDATE) if is_cut else SQL.expire_workflows.sql
    expired = timer.start(sql, endings.expire_workflows([expire(run)]))
    race.until_waiting(timer)
    owner.do("commit")

    assert bool(expired.result()) is is_cut
    assert row_of(provider, "a").status is (Status.CANCELLED if is_cut else Status.SUCCESS)


@pytest.mark.protocol("4.timeout")
@SHIPPED_OR_CUT
def test_the_end_of_a_run_that_races_its_timer_is_refused(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a", deadline_ms=1)
    timer, owner = race.actor("timer"), race.actor("owner")
    timer.do("begin")
    assert timer.do(SQL.expire_workflows.sql, endings.expire_workflows([expire(run)]))

    sql = cut(SQL.finish_workflows.sql, UPDATE) if is_cut else SQL.finish_workflows.sql
    ended = owner.start(sql, endings.finish_workflows([finish(run)]))
    race.until_waiting(owner)
    timer.do("commit")

    assert bool(ended.result()) is is_cut
    assert row_of(provider, "a").status is (Status.SUCCESS if is_cut else Status.CANCELLED)


@pytest.mark.protocol("4.timeout", "5.accepted")
@SHIPPED_OR_CUT
def test_an_old_timer_that_races_a_resume_and_a_claim_hits_nobody(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a", by="first", deadline_ms=1)
    other, timer = race.actor("other"), race.actor("timer")
    other.do("begin")
    other.do(SQL.cancel_workflows.sql, cancelling())
    other.do(SQL.resume_workflows.sql, resuming())
    assert other.do(SQL.claim_workflows.sql, claiming(run.queue or ""))
    # The next run's own deadline has passed as well, so that the token alone protects it.
    other.do("update dbos.workflow_status set workflow_deadline_epoch_ms = 2")

    sql = cut(SQL.expire_workflows.sql, "and w.owner_xid = i.token") if is_cut else SQL.expire_workflows.sql
    expired = timer.start(sql, endings.expire_workflows([expire(run)]))
    race.until_waiting(timer)
    other.do("commit")

    assert bool(expired.result()) is is_cut


@pytest.mark.protocol("4.timeout", "4.resume")
@SHIPPED_OR_CUT
def test_a_sweep_that_races_a_resume_leaves_the_resumed_run_its_time(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a", deadline_ms=1)
    sweeper = race.actor("sweeper")

    with race.held(sweeper, CLOCK):
        sql = cut(SQL.time_out_workflows.sql, SKIP) if is_cut else SQL.time_out_workflows.sql
        swept = sweeper.start(sql, sweeping())
        race.until_waiting(sweeper)
        commit(provider, cancel("a"), resume("a"))

    assert bool(swept.result()) is is_cut
    assert row_of(provider, "a").status is (Status.CANCELLED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.timeout", "4.connections.ordered")
@SHIPPED_OR_CUT
def test_a_sweep_passes_by_what_a_claim_holds_and_ends_it_in_its_next_round(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a", deadline_ms=1)
    make_executor(provider, "first")
    claimer, sweeper = race.actor("claimer"), race.actor("sweeper")
    claimer.do("begin")
    assert claimer.do(SQL.claim_workflows.sql, claiming("work"))

    sql = cut(SQL.time_out_workflows.sql, SKIP) if is_cut else SQL.time_out_workflows.sql
    swept = sweeper.start(sql, sweeping())
    has_waited = race.until_settled(sweeper, swept)
    claimer.do("commit")

    assert has_waited is is_cut
    assert bool(swept.result()) is is_cut
    assert is_cut or sweeper.do(SQL.time_out_workflows.sql, sweeping()) == [("a",)]
    assert row_of(provider, "a").is_timed_out


@pytest.mark.protocol("4.resume")
@SHIPPED_OR_CUT
def test_a_repeated_resume_does_not_fence_a_healthy_run(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    queue = make_claimed(provider, "a", by="first").queue or ""
    commit(provider, cancel("a"))
    one, other = race.actor("one"), race.actor("other")
    one.do("begin")
    assert one.do(SQL.resume_workflows.sql, resuming())
    [granted] = one.do(SQL.claim_workflows.sql, claiming(queue))

    sql = cut(SQL.resume_workflows.sql, UPDATE) if is_cut else SQL.resume_workflows.sql
    resumed = other.start(sql, resuming())
    race.until_waiting(other)
    one.do("commit")

    assert bool(resumed.result()) is is_cut
    assert (row_of(provider, "a").token == granted[2]) is not is_cut


@pytest.mark.parametrize("name", ["time_out_workflows", "next_due"])
def test_deadlines_are_walked_in_their_index(provider: PostgresProvider, race: Race, name: str) -> None:
    plan = race.observer.do(f"explain {getattr(SQL, name).sql}", sweeping())

    assert any("idx_workflow_status_deadline" in line for (line,) in plan)
    assert not any("Seq Scan on workflow_status" in line for (line,) in plan)
