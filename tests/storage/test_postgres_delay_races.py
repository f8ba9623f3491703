"""A delay is changed while the row falls due, or while its run parks, and touches neither."""

from __future__ import annotations

import pytest

from durust.model.status import Status
from durust.model.writes import SetDelay
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import orders
from tests.conformance.builders import (
    APP,
    LONG_SECONDS,
    NAME,
    commit,
    make_enqueued,
    make_executor,
    park,
    row_of,
    sweep,
    want,
)
from tests.storage.races import Race, cut

SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
CLOCK = "clock_timestamp() returns timestamptz"
DELAY = orders.set_delays([SetDelay("a", LONG_SECONDS)])


def make_due(provider: PostgresProvider, race: Race) -> None:
    """Make a delayed workflow whose instant has come, and that nobody has swept yet."""
    make_enqueued(provider, "a", delay_seconds=LONG_SECONDS)
    race.observer.do("update dbos.workflow_status set delay_until_epoch_ms = 1")


@pytest.mark.covers(86)
@SHIPPED_OR_CUT
def test_a_row_that_falls_due_meanwhile_is_not_delayed_again(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_due(provider, race)
    sweeper, caller = race.actor("sweeper"), race.actor("caller")
    sweeper.do("begin")
    sweeper.do(SQL.queue_due.sql, {"app": APP, "names": columns.texts([NAME]), "limit": 10, "internal": "internal"})

    sql = cut(SQL.set_delays.sql, "and coalesce(w.status, '') = 'DELAYED'\n", "\n") if is_cut else SQL.set_delays.sql
    caller.do("begin")
    locked = caller.start(SQL.lock_delayed.sql, DELAY)
    race.until_waiting(caller)
    sweeper.do("commit")
    locked.result()
    changed = caller.do(sql, DELAY)
    caller.do("commit")

    assert bool(changed) is is_cut
    # Without the clause whoever has claimed it by now would lose it to a delay.
    assert row_of(provider, "a").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.covers(86)
@SHIPPED_OR_CUT
def test_a_run_that_parks_meanwhile_keeps_what_it_waits_for(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    make_due(provider, race)
    caller = race.actor("caller")

    caller.do("begin")
    if not is_cut:
        caller.do(SQL.lock_delayed.sql, DELAY)
    with race.held(caller, CLOCK):
        changing = caller.start(SQL.set_delays.sql, DELAY)
        race.until_waiting(caller)
        # Everything that can happen to it, between the snapshot and the row.
        sweep(provider)
        for claimed in provider.claim(want("first")):
            commit(provider, park(claimed, until_ms=9_000_000_000_000))
    changing.result()
    caller.do("commit")

    row = row_of(provider, "a")
    is_parked = row.app_version is not None
    assert is_parked is is_cut
    # Without the lock the parked run's own instant is gone.
    assert row.delay_until_ms == row.updated_at_ms + LONG_SECONDS * 1000
    assert row.delay_until_ms != 9_000_000_000_000
