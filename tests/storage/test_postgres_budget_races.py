"""Two claimers meet at the budget of one queue, and it is never exceeded."""

from __future__ import annotations

import pytest

from durust.model.filters import QueueWant
from durust.model.status import Status
from durust.model.writes import StoreQueue
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.claiming import claim_budgeted, claim_workflows
from durust.storage.postgres import PostgresProvider
from tests.conformance.builders import APP, QUEUE, commit, make_enqueued, make_executor, row_of, want
from tests.storage.races import Actor, Race, cut

KEY = "hashtextextended(%(queue)s, 7236828452715)"
LOCK = f"case when pg_try_advisory_xact_lock({KEY}) then 'held' else 'taken' end"
HELD = " and current_setting('durust.budget', true) = 'held'"
SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])


def claiming(by: str) -> columns.Params:
    """Return the parameters of both statements of a claim with a budget."""
    request = want(by, limit=5)
    return claim_budgeted(request, QueueWant(QUEUE, 5), 5, "")


def claimed_by(provider: PostgresProvider, *workflow_ids: str) -> list[str | None]:
    return [row_of(provider, workflow_id).executor_id for workflow_id in workflow_ids]


def prepare(provider: PostgresProvider) -> None:
    """Store a queue on which one workflow may run at once, with one that waits, and two executors."""
    commit(provider, StoreQueue(QUEUE, None, APP, global_concurrency=1))
    make_enqueued(provider, "low", priority=5)
    make_executor(provider, "first")
    make_executor(provider, "second")


def begin_claim(actor: Actor, by: str, *, lock: str) -> None:
    """Claim and do not commit yet."""
    actor.do("begin")
    actor.do(lock, claiming(by))
    actor.do(SQL.claim_budgeted.sql, claiming(by))


@pytest.mark.covers(78)
@pytest.mark.protocol("4.budget.two-statements")
@SHIPPED_OR_CUT
def test_what_is_more_urgent_and_comes_between_two_claims_does_not_exceed_the_budget(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    prepare(provider)
    first, second = race.actor("first"), race.actor("second")
    # Without the lock each counts what has committed, and the two rows are not the same one.
    lock = cut(SQL.lock_budget.sql, LOCK, "'held'") if is_cut else SQL.lock_budget.sql

    begin_claim(first, "first", lock=lock)
    make_enqueued(provider, "urgent", priority=1)
    begin_claim(second, "second", lock=lock)
    first.do("commit")
    second.do("commit")

    running = [holder for holder in claimed_by(provider, "low", "urgent") if holder]
    assert len(running) == (2 if is_cut else 1)


@pytest.mark.protocol("4.budget.two-statements")
@SHIPPED_OR_CUT
def test_a_count_is_never_older_than_its_lock(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    prepare(provider)
    first, second = race.actor("first"), race.actor("second")
    # A lock that is waited for, because only then the time between it and the count is seen.
    patient = f"select pg_advisory_xact_lock({KEY}), set_config('durust.budget', 'held', true)"
    with_count = cut(SQL.claim_budgeted.sql, HELD, f" and pg_advisory_xact_lock({KEY}) is not null")

    begin_claim(first, "first", lock=patient)
    make_enqueued(provider, "urgent", priority=1)
    second.do("begin")
    waiting = second.start(with_count if is_cut else patient, claiming("second"))
    race.until_waiting(second)
    first.do("commit")
    waiting.result()
    if not is_cut:
        second.do(SQL.claim_budgeted.sql, claiming("second"))
    second.do("commit")

    running = [holder for holder in claimed_by(provider, "low", "urgent") if holder]
    assert len(running) == (2 if is_cut else 1)


@pytest.mark.protocol("4.budget.lock-not-got")
def test_a_claim_that_gets_no_lock_takes_nothing_and_asks_again_soon(provider: PostgresProvider, race: Race) -> None:
    prepare(provider)
    first = race.actor("first")
    begin_claim(first, "first", lock=SQL.lock_budget.sql)
    make_enqueued(provider, "urgent", priority=1)

    claims = provider.claim(want("second"))
    first.do("rollback")

    assert claims == []
    assert claims.again_seconds is not None
    assert 0.005 <= claims.again_seconds <= 0.02
    assert [claimed.lease.workflow_id for claimed in provider.claim(want("second"))] == ["urgent"]


@SHIPPED_OR_CUT
def test_a_budgeted_claim_passes_by_what_a_cancellation_holds(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    prepare(provider)
    canceller, claimer = race.actor("canceller"), race.actor("claimer")
    sql = cut(SQL.claim_budgeted.sql, "for update of w skip locked", "for update of w") if is_cut else None
    canceller.do("begin")
    canceller.do("update dbos.workflow_status set status = 'CANCELLED' where workflow_uuid = 'low'")

    claimer.do("begin")
    claimer.do(SQL.lock_budget.sql, claiming("first"))
    running = claimer.start(sql or SQL.claim_budgeted.sql, claiming("first"))
    is_waiting = race.until_settled(claimer, running)
    canceller.do("commit")
    running.result()
    claimer.do("commit")

    assert is_waiting is is_cut
    assert row_of(provider, "low").status is Status.CANCELLED


def test_a_claim_without_a_budget_locks_nothing_but_its_rows(provider: PostgresProvider, race: Race) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    claimer = race.actor("claimer")

    claimer.do("begin")
    claimer.do(SQL.claim_workflows.sql, claim_workflows(want("first", limit=1)))
    locks = race.observer.do(
        "select locktype, count(*) from pg_locks where pid = %(pid)s and locktype in ('advisory', 'tuple') group by 1",
        {"pid": claimer.pid},
    )
    claimer.do("commit")

    assert locks == []
