"""Claims, releases, starts, beats and sweeps meet, and nothing is stranded, granted twice or revived."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg.errors import DeadlockDetected

from durust import clock
from durust.model.claims import Claimed
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import Alive, Beat, StoreQueue
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.claiming import claim_workflows
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import endings, executors, messages, parking, starts, steps
from durust.storage.postgres_writes.queues import store_queues
from durust.storage.statements import Statement
from tests.conformance.builders import (
    APP,
    NAME,
    commit,
    commit_one,
    executor,
    finish,
    hand_back,
    lapse,
    letter,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    receive,
    record_send,
    record_sleep,
    record_step,
    row_of,
    start,
    sweep,
    want,
)
from tests.storage.races import Race, cut

SKIP = "for update skip locked"
UPDATE = "update dbos.workflow_status w"
CLOCK = "clock_timestamp() returns timestamptz"
SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
# What keeps a release from the rows of an executor that lives: in one statement with the mark it would see him alive.
STILL_DEAD = """
       and w.executor_id not in (
           select e.executor_id from durust.executors e
            where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD')"""


def claiming(by: str = "first") -> columns.Params:
    """Return the parameters of a claim of one row."""
    return claim_workflows(want(by, limit=1))


def direct(workflow_id: str, by: str) -> columns.Params:
    """Return the parameters of a direct start."""
    return starts.start_workflows([start(lease=Lease(workflow_id, by, clock.random_token()))])


def retiring(by: str = "first") -> columns.Params:
    """Return the parameters of both statements of a retirement."""
    return executors.retire_executors([by], "killed") | executors.release_workflows([by])


def sweeping() -> columns.Params:
    """Return the parameters of a sweep's statements."""
    return {"app": APP, "names": columns.texts([NAME]), "limit": 10, "internal": "internal"}


# Claims ------------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.claim.skip-locked")
@SHIPPED_OR_CUT
def test_a_claim_passes_by_what_another_claim_holds(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    for name in "ab":
        make_enqueued(provider, name)
    make_executor(provider, "first")
    make_executor(provider, "second")
    one, other = race.actor("one"), race.actor("other")
    one.do("begin")
    [first] = one.do(SQL.claim_workflows.sql, claiming())

    sql = cut(SQL.claim_workflows.sql, SKIP) if is_cut else SQL.claim_workflows.sql
    claimed = other.start(sql, claiming("second"))
    has_waited = race.until_settled(other, claimed)
    one.do("commit")

    # Without the clause it waits for the very row that is lost to it, and goes empty while another one waits.
    assert (has_waited, [row[0] for row in claimed.result()]) == ((True, []) if is_cut else (False, ["b"]))
    assert first[0] == "a"


@pytest.mark.protocol("4.claim.checked-again", "5.one-grant")
@SHIPPED_OR_CUT
def test_no_row_is_granted_twice(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    make_executor(provider, "second")
    one, other = race.actor("one"), race.actor("other")
    one.do("begin")
    [first] = one.do(SQL.claim_workflows.sql, claiming())

    # With the lock gone already, the second look at the status is what is left.
    sql = cut(SQL.claim_workflows.sql, SKIP)
    sql = cut(sql, "and coalesce(w.status, '') = 'ENQUEUED'") if is_cut else sql
    claimed = other.start(sql, claiming("second"))
    race.until_waiting(other)
    one.do("commit")

    assert len(claimed.result()) == (1 if is_cut else 0)
    assert (row_of(provider, "a").token == first[2]) is not is_cut


@pytest.mark.protocol("4.claim.me", "4.local-death.waits-for-claim", "5.pending-has-a-future")
@SHIPPED_OR_CUT
def test_a_retirement_waits_for_a_claim_in_flight_and_releases_what_it_took(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    claimer, reaper = race.actor("claimer"), race.actor("reaper")
    claimer.do("begin")
    sql = cut(SQL.claim_workflows.sql, "       for share\n", "") if is_cut else SQL.claim_workflows.sql
    assert claimer.do(sql, claiming())

    reaper.do("begin")
    marked = reaper.start(SQL.retire_executors.sql, retiring())
    has_waited = race.until_settled(reaper, marked)
    if has_waited:
        claimer.do("commit")
    marked.result()
    reaper.do(SQL.release_workflows.sql, retiring())
    reaper.do("commit")
    claimer.do("commit")

    is_stranded = row_of(provider, "a").status is Status.PENDING
    assert (has_waited, is_stranded) == (not is_cut, is_cut)


@pytest.mark.protocol("4.claim.me")
@SHIPPED_OR_CUT
def test_a_claim_that_waited_for_a_retirement_takes_nothing(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    claimer, reaper = race.actor("claimer"), race.actor("reaper")
    reaper.do("begin")
    reaper.do(SQL.retire_executors.sql, retiring())
    reaper.do(SQL.release_workflows.sql, retiring())

    sql = cut(SQL.claim_workflows.sql, "       for share\n", "") if is_cut else SQL.claim_workflows.sql
    claimed = claimer.start(sql, claiming())
    has_waited = race.until_settled(claimer, claimed)
    reaper.do("commit")

    assert (has_waited, bool(claimed.result())) == (not is_cut, is_cut)


@pytest.mark.protocol("4.drain.state")
@SHIPPED_OR_CUT
def test_a_claim_that_waited_for_a_drain_takes_nothing(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    claimer, drainer = race.actor("claimer"), race.actor("drainer")
    drainer.do("begin")
    drainer.do(SQL.drain_executors.sql, {"ids": "{first}"})

    sql = cut(SQL.claim_workflows.sql, "       for share\n", "") if is_cut else SQL.claim_workflows.sql
    claimed = claimer.start(sql, claiming())
    has_waited = race.until_settled(claimer, claimed)
    drainer.do("commit")

    assert (has_waited, bool(claimed.result())) == (not is_cut, is_cut)


@pytest.mark.protocol("4.drain.state")
@SHIPPED_OR_CUT
def test_a_drain_that_waited_for_a_retirement_does_not_revive_the_dead(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    drainer, reaper = race.actor("drainer"), race.actor("reaper")
    reaper.do("begin")
    reaper.do(SQL.retire_executors.sql, retiring())

    sql = cut(SQL.drain_executors.sql, "       for no key update\n") if is_cut else SQL.drain_executors.sql
    drained = drainer.start(sql, {"ids": "{first}"})
    race.until_waiting(drainer)
    reaper.do("commit")

    assert bool(drained.result()) is is_cut
    assert executor(provider, "first").state == ("DRAINING" if is_cut else "DEAD")


@pytest.mark.protocol("4.local-death.two-statements")
@SHIPPED_OR_CUT
def test_the_first_of_two_retirements_says_why(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    make_executor(provider, "first")
    one, other = race.actor("one"), race.actor("other")
    one.do("begin")
    one.do(SQL.retire_executors.sql, retiring())

    sql = cut(SQL.retire_executors.sql, "       for no key update\n") if is_cut else SQL.retire_executors.sql
    again = other.start(sql, executors.retire_executors(["first"], "once more"))
    race.until_waiting(other)
    one.do("commit")
    again.result()

    assert executor(provider, "first").why == ("once more" if is_cut else "killed")


@pytest.mark.protocol("4.claim.histories-later", "5.histories-after-claim")
@SHIPPED_OR_CUT
def test_a_history_is_read_in_a_statement_after_the_claim(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    make_executor(provider, "second")
    claimer = race.actor("claimer")
    # The read moved into the claim's own snapshot, in place of the inputs.
    inside = "(select count(*) from dbos.operation_outputs o where o.workflow_uuid = c.workflow_uuid)"
    sql = cut(SQL.claim_workflows.sql, "coalesce(i.inputs, c.inputs)", inside)
    with race.held(claimer, CLOCK):
        claimed = claimer.start(sql, claiming("second"))
        race.until_waiting(claimer)
        [run] = provider.claim(want("first"))
        commit(provider, record_step(run))
        race.observer.do(SQL.retire_executors.sql, retiring())
        race.observer.do(SQL.release_workflows.sql, retiring())

    [granted] = claimed.result()
    [later] = race.observer.do(SQL.read_history.sql, {"ids": "{a}"})
    steps = granted[4] if is_cut else len([later])
    assert (granted[0], steps) == ("a", 0 if is_cut else 1)


@pytest.mark.protocol("4.claim.skip-locked")
@SHIPPED_OR_CUT
def test_the_order_of_a_claim_hangs_on_no_index(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    for name, priority in (("a", 2), ("b", 0), ("c", 1)):
        make_enqueued(provider, name, priority=priority)
    make_executor(provider, "first")
    claimer = race.actor("claimer")
    # The plan of today walks an index that holds the order already.
    for index in ("durust_claim_order", "idx_workflow_status_in_flight_v2"):
        claimer.do(f"drop index dbos.{index}")

    order = "            order by w.priority, w.created_at, w.workflow_uuid\n"
    sql = cut(SQL.claim_workflows.sql, order) if is_cut else SQL.claim_workflows.sql
    [first] = claimer.do(sql, claiming())

    assert first[0] == ("a" if is_cut else "b")


@pytest.mark.protocol("4.sweep.delays")
@SHIPPED_OR_CUT
def test_what_is_due_longest_is_queued_first_by_no_index(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    for name, until in (("a", 3), ("b", 1), ("c", 2)):
        make_enqueued(provider, name, delay_seconds=600)
        race.observer.do(
            "update dbos.workflow_status set delay_until_epoch_ms = %(until)s where workflow_uuid = %(name)s",
            {"until": until, "name": name},
        )
    race.observer.do("drop index dbos.idx_workflow_status_delayed")

    sql = cut(SQL.queue_due.sql, "     order by w.delay_until_epoch_ms\n") if is_cut else SQL.queue_due.sql
    race.observer.do(sql, sweeping() | {"limit": 1})

    queued = race.observer.do("select workflow_uuid from dbos.workflow_status where status = 'ENQUEUED'")
    assert (queued == [("b",)]) is not is_cut


# Direct starts -----------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.direct-start.guarded")
@SHIPPED_OR_CUT
def test_a_retirement_waits_for_a_direct_start_and_releases_it(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    starter, reaper = race.actor("starter"), race.actor("reaper")
    starter.do("begin")
    sql = cut(SQL.start_workflows.sql, "for share") if is_cut else SQL.start_workflows.sql
    assert starter.do(sql, direct("a", "first"))

    reaper.do("begin")
    marked = reaper.start(SQL.retire_executors.sql, retiring())
    has_waited = race.until_settled(reaper, marked)
    if has_waited:
        starter.do("commit")
    marked.result()
    reaper.do(SQL.release_workflows.sql, retiring())
    reaper.do("commit")
    starter.do("commit")

    is_stranded = row_of(provider, "a").status is Status.PENDING
    assert (has_waited, is_stranded) == (not is_cut, is_cut)


@pytest.mark.protocol("4.direct-start.guarded")
@SHIPPED_OR_CUT
def test_a_direct_start_that_waited_for_a_retirement_is_refused(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    starter, reaper = race.actor("starter"), race.actor("reaper")
    reaper.do("begin")
    reaper.do(SQL.retire_executors.sql, retiring())

    sql = cut(SQL.start_workflows.sql, "for share") if is_cut else SQL.start_workflows.sql
    started = starter.start(sql, direct("a", "first"))
    has_waited = race.until_settled(starter, started)
    reaper.do("commit")

    assert (has_waited, bool(started.result())) == (not is_cut, is_cut)


# Releases ----------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.local-death.two-statements")
@pytest.mark.parametrize("is_combined", [False, True], ids=["two statements", "one"])
def test_one_combined_statement_strands_a_claim_in_flight(
    provider: PostgresProvider, race: Race, *, is_combined: bool
) -> None:
    make_started(provider, "before", by="first")
    make_enqueued(provider, "a")
    claimer, reaper = race.actor("claimer"), race.actor("reaper")
    claimer.do("begin")
    assert claimer.do(SQL.claim_workflows.sql, claiming())

    reaper.do("begin")
    release = cut(SQL.release_workflows.sql, STILL_DEAD)
    combined = f"with marked as ({SQL.retire_executors.sql}), {cut(release, 'with pick', 'pick')}"
    marked = reaper.start(combined if is_combined else SQL.retire_executors.sql, retiring())
    race.until_waiting(reaper)
    claimer.do("commit")
    released = marked.result() if is_combined else reaper.do(release, retiring())
    reaper.do("commit")

    assert {row[0] for row in released} == ({"before"} if is_combined else {"before", "a"})
    assert (row_of(provider, "a").status is Status.PENDING) is is_combined


@pytest.mark.protocol("4.local-death.skip-locked")
@SHIPPED_OR_CUT
def test_a_release_does_not_revive_what_ends_meanwhile(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    run = make_claimed(provider, "a", by="first")
    owner, reaper = race.actor("owner"), race.actor("reaper")
    reaper.do(SQL.retire_executors.sql, retiring())
    owner.do("begin")
    # The last batch of the one that died.
    owner.do(SQL.finish_workflows.sql, endings.finish_workflows([finish(run)]))

    sql = cut(SQL.release_workflows.sql, SKIP) if is_cut else SQL.release_workflows.sql
    released = reaper.start(sql, retiring())
    has_waited = race.until_settled(reaper, released)
    owner.do("commit")

    assert (has_waited, bool(released.result())) == (is_cut, is_cut)
    assert row_of(provider, "a").status is (Status.ENQUEUED if is_cut else Status.SUCCESS)


@pytest.mark.protocol("4.reap.two-statements")
def test_a_release_leaves_the_rows_of_an_executor_that_the_reap_skipped(provider: PostgresProvider, race: Race) -> None:
    make_claimed(provider, "a", by="first")
    reaper = race.actor("reaper")

    released = reaper.do(SQL.release_workflows.sql, retiring())

    assert released == []
    assert reaper.do(cut(SQL.release_workflows.sql, STILL_DEAD), retiring())


# Beats and reaps ---------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.beat.reaped-is-told")
@SHIPPED_OR_CUT
def test_a_beat_that_races_a_reap_does_not_answer_for_the_dead(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    lapse(provider, "first")
    reaper, supervisor = race.actor("reaper"), race.actor("supervisor")
    reaper.do("begin")
    assert reaper.do(SQL.reap_executors.sql, retiring()) == [("first",)]

    sql = cut(SQL.beat.sql, "       for share\n", "") if is_cut else SQL.beat.sql
    renewed = supervisor.start(sql, {"ids": "{first}", "ttl": 10})
    race.until_waiting(supervisor)
    reaper.do("commit")

    assert bool(renewed.result()) is is_cut


@pytest.mark.protocol("4.reap.locks-both")
@SHIPPED_OR_CUT
def test_a_reap_sees_the_beat_that_came_in_since_its_snapshot(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_executor(provider, "first")
    lapse(provider, "first")
    reaper = race.actor("reaper")
    sql = cut(SQL.reap_executors.sql, "for update of e, l", "for update of e") if is_cut else SQL.reap_executors.sql
    with race.held(reaper, CLOCK):
        marked = reaper.start(sql, retiring())
        race.until_waiting(reaper)
        assert commit_one(provider, Beat(("first",), 600)) == Alive(frozenset({"first"}))

    assert bool(marked.result()) is is_cut
    assert executor(provider, "first").lease_seconds_left > 0


@pytest.mark.protocol("4.reap.locks-both")
@SHIPPED_OR_CUT
def test_a_reap_passes_by_whoever_is_beating(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    make_executor(provider, "first")
    lapse(provider, "first")
    reaper, supervisor = race.actor("reaper"), race.actor("supervisor")
    supervisor.do("begin")
    assert supervisor.do(SQL.beat.sql, {"ids": "{first}", "ttl": 600})

    sql = cut(SQL.reap_executors.sql, "skip locked") if is_cut else SQL.reap_executors.sql
    marked = reaper.start(sql, retiring())
    has_waited = race.until_settled(reaper, marked)
    supervisor.do("commit")

    assert (has_waited, marked.result()) == (is_cut, [])


@pytest.mark.protocol("4.register.before-claim")
def test_an_executor_that_registers_while_others_are_reaped_claims_at_once(
    provider: PostgresProvider, race: Race
) -> None:
    make_executor(provider, "first")
    lapse(provider, "first")
    make_enqueued(provider, "a")
    reaper = race.actor("reaper")
    reaper.do("begin")
    reaper.do(SQL.reap_executors.sql, retiring())

    make_executor(provider, "second")
    claimed = provider.claim(want("second"))

    reaper.do("commit")
    assert [found.lease.executor_id for found in claimed] == ["second"]
    assert executor(provider, "second").state == "LIVE"


# Sweeps ------------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.sweep.orphans")
@SHIPPED_OR_CUT
def test_an_orphan_sweep_leaves_a_row_that_found_an_owner_meanwhile(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a", queue="one")
    make_executor(provider, "du:dead")
    provider.claim(want("du:dead", "one"))
    race.observer.do("update durust.executors set state = 'DEAD'")
    sweeper = race.actor("sweeper")
    sql = SQL.release_orphans.sql
    if is_cut:
        sql = cut(sql, " and w.executor_id = o.executor_id and w.owner_xid is not distinct from o.owner_xid")
    with race.held(sweeper, "starts_with(text, text) returns boolean"):
        released = sweeper.start(sql, sweeping())
        race.until_waiting(sweeper)
        assert sweep(provider).orphans == 1
        make_executor(provider, "du:born")
        [run] = provider.claim(want("du:born", "one"))

    assert bool(released.result()) is is_cut
    assert (row_of(provider, "a").token == run.lease.token) is not is_cut


@pytest.mark.protocol("4.connections.ordered")
@SHIPPED_OR_CUT
def test_an_orphan_sweep_passes_by_what_somebody_holds(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    for name in "ab":
        make_claimed(provider, name, by="du:dead")
    race.observer.do("update durust.executors set state = 'DEAD'")
    other, sweeper = race.actor("other"), race.actor("sweeper")
    other.do("begin")
    other.do("select from dbos.workflow_status where workflow_uuid = 'a' for update")

    sql = cut(SQL.release_orphans.sql, "skip locked") if is_cut else SQL.release_orphans.sql
    released = sweeper.start(sql, sweeping())
    has_waited = race.until_settled(sweeper, released)
    other.do("commit")

    assert (has_waited, len(released.result())) == ((True, 2) if is_cut else (False, 1))


@pytest.mark.protocol("4.sweep.delays")
@SHIPPED_OR_CUT
def test_a_sweep_does_not_revive_what_is_cancelled_meanwhile(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a", delay_seconds=600)
    race.observer.do("update dbos.workflow_status set delay_until_epoch_ms = 1")
    other, sweeper = race.actor("other"), race.actor("sweeper")
    other.do("begin")
    other.do("update dbos.workflow_status set status = 'CANCELLED'")

    sql = cut(SQL.queue_due.sql, SKIP) if is_cut else SQL.queue_due.sql
    queued = sweeper.start(sql, sweeping())
    race.until_settled(sweeper, queued)
    other.do("commit")

    assert bool(queued.result()) is is_cut
    assert row_of(provider, "a").status is (Status.ENQUEUED if is_cut else Status.CANCELLED)


# Parks -------------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.park.two-statements")
@pytest.mark.parametrize("is_combined", [False, True], ids=["two statements", "one"])
def test_only_a_later_statement_sees_that_a_parked_run_is_due_already(
    provider: PostgresProvider, race: Race, *, is_combined: bool
) -> None:
    run = make_claimed(provider, "a")
    parker = race.actor("parker")
    parameters = parking.park_workflows([park(run, until_ms=1)])
    parked = "\nselect p.workflow_uuid from parked p"
    look, _, queue = cut(SQL.wake_parked.sql, "with pick", "pick").partition(UPDATE)
    combined = cut(SQL.park_workflows.sql, parked, f", {look}, queued as ({UPDATE}{queue}) {parked}")

    parker.do("begin")
    parker.do(combined if is_combined else SQL.park_workflows.sql, parameters)
    if not is_combined:
        parker.do(SQL.wake_parked.sql, parameters)
    parker.do("commit")

    assert row_of(provider, "a").status is (Status.DELAYED if is_combined else Status.ENQUEUED)


@pytest.mark.protocol("4.park.two-statements")
@SHIPPED_OR_CUT
def test_a_look_behind_a_park_does_not_revive_what_is_cancelled_meanwhile(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_claimed(provider, "a")
    other, parker = race.actor("other"), race.actor("parker")
    parameters = parking.park_workflows([park(run, until_ms=1)])
    parker.do(SQL.park_workflows.sql, parameters)
    other.do("begin")
    other.do("update dbos.workflow_status set status = 'CANCELLED'")

    looked = parker.start(cut(SQL.wake_parked.sql, SKIP) if is_cut else SQL.wake_parked.sql, parameters)
    race.until_settled(parker, looked)
    other.do("commit")
    looked.result()

    assert row_of(provider, "a").status is (Status.ENQUEUED if is_cut else Status.CANCELLED)


ORDERED: dict[str, tuple[Statement, Callable[[list[Claimed]], columns.Params]]] = {
    "record_steps": (SQL.record_steps, lambda runs: steps.record_steps([record_step(run) for run in runs])),
    "record_sleeps": (SQL.record_sleeps, lambda runs: steps.record_sleeps([record_sleep(run) for run in runs])),
    "record_sends": (
        SQL.record_sends,
        lambda runs: messages.record_sends([record_send(run, letter(run.lease.workflow_id)) for run in runs]),
    ),
    "receive_messages": (
        SQL.receive_messages,
        lambda runs: messages.receive_messages([receive(run) for run in runs]),
    ),
    "finish_workflows": (SQL.finish_workflows, lambda runs: endings.finish_workflows([finish(run) for run in runs])),
    "park_workflows": (SQL.park_workflows, lambda runs: parking.park_workflows([park(run) for run in runs])),
    "hand_back_workflows": (
        SQL.hand_back_workflows,
        lambda runs: endings.hand_back_workflows([hand_back(run) for run in runs]),
    ),
}
ORDER = "            order by i.id"


@pytest.mark.protocol("4.connections.ordered")
@pytest.mark.parametrize("name", ORDERED)
@SHIPPED_OR_CUT
def test_two_batches_over_the_same_rows_in_opposite_orders_do_not_lock_each_other_out(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, parameters = ORDERED[name]
    runs = [make_claimed(provider, each) for each in "abc"]
    holder, one, other = race.actor("holder"), race.actor("one"), race.actor("other")
    sql = cut(statement.sql, ORDER) if is_cut else statement.sql
    # Both are kept in the middle of their rows, and what one of them holds keeps the other waiting.
    holder.do("begin")
    holder.do("select from dbos.workflow_status where workflow_uuid = 'b' for update")

    ending = cut(SQL.finish_workflows.sql, ORDER) if is_cut else SQL.finish_workflows.sql
    forwards = one.start(ending, endings.finish_workflows([finish(run) for run in runs]))
    race.until_waiting(one)
    backwards = other.start(sql, parameters(runs[::-1]))
    race.until_waiting(other)
    holder.do("commit")

    failed = [error for error in (forwards.exception(), backwards.exception()) if error]
    assert [type(error) for error in failed] == ([DeadlockDetected] if is_cut else [])


@pytest.mark.protocol("4.connections.ordered")
@SHIPPED_OR_CUT
def test_two_programs_that_store_their_queues_in_opposite_orders_do_not_lock_each_other_out(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    queues = [StoreQueue(name, 1, APP) for name in "abc"]
    commit(provider, *queues)
    holder, one, other = race.actor("holder"), race.actor("one"), race.actor("other")
    # Of the two parts the one that changes rows which are there.
    clause = " where not i.keeps\n order by i.name\n"
    sql = cut(SQL.store_queues.sql, clause, " where not i.keeps\n") if is_cut else SQL.store_queues.sql
    holder.do("begin")
    holder.do("select from dbos.queues where name = 'b' for update")

    forwards = one.start(sql, store_queues(queues))
    race.until_waiting(one)
    backwards = other.start(sql, store_queues(queues[::-1]))
    race.until_waiting(other)
    holder.do("commit")

    failed = [error for error in (forwards.exception(), backwards.exception()) if error]
    assert [type(error) for error in failed] == ([DeadlockDetected] if is_cut else [])
