"""Debounced calls meet each other, sweeps and cancels, and each run is bounced or left alone as its locked row says."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from psycopg.errors import DeadlockDetected

from durust.model.status import Status
from durust.model.writes import DebounceWorkflow, Recorded
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import debounced
from tests.conformance.builders import APP, LONG_SECONDS, NAME, commit, commit_one, debounce, row_of
from tests.storage.races import Actor, Race, Rows, cut
from tests.support.waiting import eventually

SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
# Long enough for the sessions of a race to take their places.
SOON_SECONDS = 1.0
ORDER = "     order by w.workflow_uuid\n"


def sent(*writes: DebounceWorkflow) -> columns.Params:
    """Return the parameters of debounced starts."""
    return debounced.debounce_workflows(writes)


def sweeping() -> columns.Params:
    """Return the parameters of a sweep."""
    return {"app": APP, "names": columns.texts([NAME]), "limit": 10, "internal": "internal"}


def both(actor: Actor, write: DebounceWorkflow) -> Rows:
    """Run both statements of a debounced start."""
    actor.do(SQL.queue_overdue.sql, sent(write))
    return actor.do(SQL.debounce_workflows.sql, sent(write))


def answer(write: DebounceWorkflow, workflow_id: str) -> Rows:
    """Return what comes back for a write that led to a run."""
    return [(write.start.creator, workflow_id, None)]


def until_due(race: Race) -> None:
    """Wait until every row that this session sees is due by the database's clock."""
    sql = (
        "select bool_and(delay_until_epoch_ms < extract(epoch from clock_timestamp()) * 1000) from dbos.workflow_status"
    )
    assert eventually(lambda: race.observer.do(sql)[0][0])


@SHIPPED_OR_CUT
def test_a_bounce_that_waited_for_a_cancel_leaves_the_run_alone(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    other, caller = race.actor("other"), race.actor("caller")
    other.do("begin")
    other.do("update dbos.workflow_status set status = 'CANCELLED', deduplication_id = null")
    write = debounce("b", inputs="[2]")

    sql = cut(SQL.debounce_workflows.sql, "for no key update") if is_cut else SQL.debounce_workflows.sql
    bounced = caller.start(sql, sent(write))
    race.until_waiting(caller)
    other.do("commit")

    assert bounced.result() == (answer(write, "a") if is_cut else [])
    row = row_of(provider, "a")
    assert (row.status, row.inputs) == (Status.CANCELLED, "[2]" if is_cut else "[1]")


@SHIPPED_OR_CUT
def test_a_bounce_that_waited_until_the_run_was_due_does_not_push_it(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    commit(provider, debounce("a", period=SOON_SECONDS))
    other, caller = race.actor("other"), race.actor("caller")
    other.do("begin")
    other.do("select from dbos.workflow_status for update")
    write = debounce("b")
    clause = "       and w.delay_until_epoch_ms > (extract(epoch from clock_timestamp()) * 1000)::bigint\n"

    sql = cut(SQL.debounce_workflows.sql, clause) if is_cut else SQL.debounce_workflows.sql
    bounced = caller.start(sql, sent(write))
    race.until_waiting(caller)
    until_due(race)
    other.do("commit")

    assert bounced.result() == (answer(write, "a") if is_cut else [])
    # Sent again, it begins a new run and queues the one that was due.
    assert is_cut or both(caller, write) == answer(write, "b")
    assert (row_of(provider, "a").status is Status.ENQUEUED) is not is_cut


@SHIPPED_OR_CUT
def test_a_sweep_does_not_queue_a_run_that_is_pushed_meanwhile(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    commit(provider, debounce("a", period=SOON_SECONDS))
    caller, sweeper = race.actor("caller"), race.actor("sweeper")
    caller.do("begin")
    write = debounce("b")
    assert both(caller, write) == answer(write, "a")
    until_due(race)

    sql = cut(SQL.queue_due.sql, "for update skip locked") if is_cut else SQL.queue_due.sql
    swept = sweeper.start(sql, sweeping())
    has_waited = race.until_settled(sweeper, swept)
    caller.do("commit")

    assert (has_waited, bool(swept.result())) == (is_cut, is_cut)
    assert (row_of(provider, "a").status is Status.DELAYED) is not is_cut


def test_a_bounce_that_waited_for_a_sweep_begins_a_new_run(provider: PostgresProvider, race: Race) -> None:
    commit(provider, debounce("a", period=SOON_SECONDS, inputs="[1]"))
    until_due(race)
    sweeper, caller = race.actor("sweeper"), race.actor("caller")
    sweeper.do("begin")
    assert sweeper.do(SQL.queue_due.sql, sweeping())
    write = debounce("b", inputs="[2]")

    caller.do(SQL.queue_overdue.sql, sent(write))
    begun = caller.start(SQL.debounce_workflows.sql, sent(write))
    race.until_waiting(caller)
    sweeper.do("commit")

    assert begun.result() == []
    assert both(caller, write) == answer(write, "b")
    assert [(row_of(provider, name).status, row_of(provider, name).inputs) for name in "ab"] == [
        (Status.ENQUEUED, "[1]"),
        (Status.DELAYED, "[2]"),
    ]


@SHIPPED_OR_CUT
def test_of_two_first_calls_one_begins_the_run_and_the_other_bounces_it(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    one, other = race.actor("one"), race.actor("other")
    first, second = debounce("a", inputs="[1]"), debounce("b", inputs="[2]")
    one.do("begin")
    assert both(one, first) == answer(first, "a")

    sql = SQL.debounce_workflows.sql
    begun = other.start(cut(sql, "        on conflict do nothing\n") if is_cut else sql, sent(second))
    race.until_waiting(other)
    one.do("commit")

    if is_cut:
        with pytest.raises(psycopg.errors.UniqueViolation):
            begun.result()
    else:
        assert begun.result() == []
    assert both(other, second) == answer(second, "a")
    assert row_of(provider, "a").inputs == "[2]"
    assert race.observer.do("select count(*) from dbos.workflow_status") == [(1,)]


@SHIPPED_OR_CUT
@pytest.mark.covers(155)
def test_a_call_that_is_sent_again_while_its_first_try_is_in_flight_pushes_the_time_once(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    commit(provider, debounce("a"))
    lost, again = race.actor("lost"), race.actor("again")
    write = debounce("b", inputs="[2]")
    lost.do("begin")
    assert both(lost, write) == answer(write, "a")
    [(pushed,)] = lost.do("select delay_until_epoch_ms from dbos.workflow_status")

    clause = "       and w.creator_xid is distinct from f.creator\n"
    sql = cut(SQL.debounce_workflows.sql, clause) if is_cut else SQL.debounce_workflows.sql
    # With another period, so that a second push would be seen.
    bounced = again.start(sql, sent(replace(write, period_seconds=2 * LONG_SECONDS)))
    race.until_waiting(again)
    lost.do("commit")

    assert bounced.result() == (answer(write, "a") if is_cut else [])
    assert (row_of(provider, "a").delay_until_ms == pushed) is not is_cut
    assert commit_one(provider, write) == Recorded(workflow_id="a")
    assert is_cut or row_of(provider, "a").delay_until_ms == pushed


@SHIPPED_OR_CUT
def test_two_batches_over_the_same_runs_in_opposite_orders_do_not_lock_each_other_out(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    for name in "abc":
        commit(provider, debounce(name, key=name))
    sql = cut(SQL.debounce_workflows.sql, ORDER) if is_cut else SQL.debounce_workflows.sql
    holder, one, other = race.actor("holder"), race.actor("one"), race.actor("other")
    # Both are kept in the middle of their rows, and what one of them holds keeps the other waiting.
    holder.do("begin")
    holder.do("select from dbos.workflow_status where workflow_uuid = 'b' for update")

    forwards = one.start(sql, sent(*(debounce(key=name) for name in "abc")))
    race.until_waiting(one)
    backwards = other.start(sql, sent(*(debounce(key=name) for name in "cba")))
    race.until_waiting(other)
    holder.do("commit")

    failed = [error for error in (forwards.exception(), backwards.exception()) if error]
    assert [type(error) for error in failed] == ([DeadlockDetected] if is_cut else [])


def test_a_lost_answer_is_found_again_by_the_provider(provider: PostgresProvider) -> None:
    write = debounce("b")
    commit(provider, debounce("a"))
    with closing(provider.writer()) as first, closing(provider.writer()) as second:
        answers = [first.commit([write]), second.commit([write])]

    assert answers == [[Recorded(workflow_id="a")]] * 2
