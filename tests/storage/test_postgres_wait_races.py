"""A run parks for a result while it comes about: neither can miss the other."""

from __future__ import annotations

import pytest

from durust.model.claims import Claimed
from durust.model.status import Status
from durust.model.wakes import wakes_of
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import endings, waking
from durust.storage.postgres_writes.parking import hold_awaited, park_workflows, wake_parked
from tests.conformance.builders import commit, finish, make_claimed, row_of, sweep
from tests.conformance.test_arrivals import wait_for
from tests.storage.races import Race, cut
from tests.support.waiting import TIMEOUT_SECONDS

SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])


@pytest.fixture
def target(provider: PostgresProvider) -> Claimed:
    return make_claimed(provider, "target", by="second")


@pytest.fixture
def waiter(provider: PostgresProvider) -> Claimed:
    return make_claimed(provider, "waiter")


@pytest.mark.protocol("4.park.wakers")
@SHIPPED_OR_CUT
def test_an_end_that_is_under_way_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, target: Claimed, *, is_cut: bool
) -> None:
    """The target's end has written and found no waits; the park looks before that has committed."""
    write, end = wait_for(waiter, "target"), finish(target)
    parking, ending = race.actor("parking"), race.actor("ending")
    look = SQL.wake_parked.sql
    if is_cut:
        look = cut(look, "v.target in (", "false and v.target in (")

    ending.do("begin")
    ending.do(SQL.finish_workflows.sql, endings.finish_workflows([end]))
    ending.do(SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(end)))
    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([write]))
    parking.do(SQL.hold_awaited.sql, hold_awaited([write]))
    parking.do(look, wake_parked([write]))
    parking.do("commit")
    ending.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)
    if is_cut:
        # What no rule should leave behind the sweep heals.
        assert sweep(provider).arrived == 1
        assert row_of(provider, "waiter").status is Status.ENQUEUED


@pytest.mark.protocol("4.park.wakers")
@SHIPPED_OR_CUT
def test_a_park_that_is_under_way_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, target: Claimed, *, is_cut: bool
) -> None:
    """The park has looked and found no end; the end comes before the waits have committed."""
    write, end = wait_for(waiter, "target"), finish(target)
    parking, ending = race.actor("parking"), race.actor("ending")
    hold = cut(SQL.hold_awaited.sql, "for share skip locked") if is_cut else SQL.hold_awaited.sql

    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([write]))
    parking.do(hold, hold_awaited([write]))
    parking.do(SQL.wake_parked.sql, wake_parked([write]))
    ending.do("begin")
    finishing = ending.start(SQL.finish_workflows.sql, endings.finish_workflows([end]))
    if not is_cut:
        race.until_blocked(ending.pid)
        parking.do("commit")
    finishing.result(TIMEOUT_SECONDS)
    ending.do(SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(end)))
    ending.do("commit")
    if is_cut:
        parking.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


def test_a_waker_does_not_wait_for_a_waiter_that_somebody_holds(
    provider: PostgresProvider, race: Race, waiter: Claimed, target: Claimed
) -> None:
    commit(provider, wait_for(waiter, "target"))
    holder = race.actor("holder")
    holder.do("begin")
    holder.do("select from dbos.workflow_status where workflow_uuid = 'waiter' for update")

    commit(provider, finish(target))
    holder.do("rollback")

    assert row_of(provider, "waiter").status is Status.DELAYED
    assert sweep(provider).arrived == 1
