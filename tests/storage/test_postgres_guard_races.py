"""The guard is decided on the locked row: each race is lost by the zombie, and won by him once the lock is cut out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from durust.model.attribute_writes import RecordAttributes
from durust.model.claims import Claimed
from durust.model.status import Status
from durust.storage import claiming
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import (
    attributes,
    children,
    endings,
    executors,
    messages,
    parking,
    publications,
    steps,
)
from durust.storage.statements import Statement
from tests.conformance.builders import (
    commit,
    finish,
    hand_back,
    history,
    letter,
    make_claimed,
    make_executor,
    park,
    receive,
    record_send,
    record_sleep,
    record_step,
    row_of,
    start_child,
    want,
)
from tests.conformance.publishing import append, set_event
from tests.storage.races import Actor, Race, Rows, cut

Write = Callable[[Claimed], dict[str, Any]]

SHARE, UPDATE = "for share", "for no key update"
# Each statement of a run, its lock, and the parameters of a write of it.
STATEMENTS: dict[str, tuple[Statement, str, Write]] = {
    "record_steps": (SQL.record_steps, SHARE, lambda run: steps.record_steps([record_step(run)])),
    "record_sleeps": (SQL.record_sleeps, SHARE, lambda run: steps.record_sleeps([record_sleep(run)])),
    "set_events": (SQL.set_events, UPDATE, lambda run: publications.publish([set_event(run)])),
    "append_streams": (SQL.append_streams, UPDATE, lambda run: publications.publish([append(run)])),
    "record_attributes": (
        SQL.record_attributes,
        UPDATE,
        lambda run: attributes.record_attributes([RecordAttributes(run.lease, None, 1, '{"a":1}', 1, 2)]),
    ),
    "record_sends": (
        SQL.record_sends,
        SHARE,
        lambda run: messages.record_sends([record_send(run, letter(run.lease.workflow_id))]),
    ),
    "receive_messages": (
        SQL.receive_messages,
        SHARE,
        lambda run: messages.receive_messages([receive(run, is_timeout=True)]),
    ),
    "start_children": (SQL.start_children, SHARE, lambda run: children.start_children([start_child(run)])),
    "finish_workflows": (SQL.finish_workflows, UPDATE, lambda run: endings.finish_workflows([finish(run)])),
    "park_workflows": (SQL.park_workflows, UPDATE, lambda run: parking.park_workflows([park(run)])),
    "hand_back_workflows": (
        SQL.hand_back_workflows,
        UPDATE,
        lambda run: endings.hand_back_workflows([hand_back(run)]),
    ),
}
CHAIN = """       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
"""


def retire(actor: Actor, executor: str) -> None:
    """Retire an executor in two statements, as one transaction of *actor* that stays open."""
    actor.do("begin")
    actor.do(SQL.retire_executors.sql, executors.retire_executors([executor], "lost"))
    actor.do(SQL.release_workflows.sql, executors.release_workflows([executor]))


def claim(actor: Actor, executor: str, queue: str) -> Rows:
    """Claim from a queue."""
    return actor.do(SQL.claim_workflows.sql, claiming.claim_workflows(want(executor, queue)))


@pytest.mark.protocol("3.guard.locked-row", "3.guard.not-enough")
@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_zombie_that_races_a_reclaim_is_refused(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, lock, write = STATEMENTS[name]
    run = make_claimed(provider, "a", by="first")
    make_executor(provider, "second")
    reaper, zombie = race.actor("reaper"), race.actor("zombie")
    retire(reaper, "first")
    [granted] = claim(reaper, "second", run.queue or "")

    zombie.do("begin")
    written = zombie.start(cut(statement.sql, lock) if is_cut else statement.sql, write(run))
    race.until_settled(zombie, written)
    reaper.do("commit")
    accepted = written.result()
    zombie.do("commit")

    row = row_of(provider, "a")
    stands = (row.executor_id, row.token) == ("second", granted[2]) and row.status is Status.PENDING
    assert bool(accepted) is is_cut
    assert (stands and not history(provider, "a")) is not is_cut


@pytest.mark.protocol("3.guard.not-enough")
@pytest.mark.parametrize("lock", [SHARE, "for key share", "", "foreign key"])
def test_only_the_share_lock_refuses_a_checkpoint_that_races_a_cancel(
    provider: PostgresProvider, race: Race, lock: str
) -> None:
    run = make_claimed(provider, "a", by="first")
    other, zombie = race.actor("other"), race.actor("zombie")
    if lock == "foreign key":
        # As in canonical schemas before version 112: the lock that the key itself takes is a weak one too.
        other.do("alter table dbos.operation_outputs add foreign key (workflow_uuid) references dbos.workflow_status")
    other.do("begin")
    other.do("update dbos.workflow_status set status = 'CANCELLED', owner_xid = null")

    sql = cut(SQL.record_steps.sql, SHARE, "" if lock == "foreign key" else lock)
    written = zombie.start(sql, steps.record_steps([record_step(run)]))
    has_waited = race.until_settled(zombie, written)
    other.do("commit")

    assert (has_waited, bool(written.result())) == ((True, False) if lock == SHARE else (False, True))


@pytest.mark.protocol("3.guard.locked-row")
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_no_checkpoint_lands_behind_a_loaded_history(provider: PostgresProvider, race: Race, *, is_cut: bool) -> None:
    run = make_claimed(provider, "a", by="first")
    make_executor(provider, "second")
    reaper, zombie = race.actor("reaper"), race.actor("zombie")
    zombie.do("begin")
    zombie.do(
        cut(SQL.record_steps.sql, SHARE) if is_cut else SQL.record_steps.sql, steps.record_steps([record_step(run)])
    )

    reaper.do(SQL.retire_executors.sql, executors.retire_executors(["first"], "lost"))
    released = reaper.do(SQL.release_workflows.sql, executors.release_workflows(["first"]))
    claimed = provider.claim(want("second", run.queue or ""))
    zombie.do("commit")

    # Shipped, the row is skipped until the checkpoint has committed; the sweep then releases it.
    assert (bool(released), [list(found.history) for found in claimed]) == ((True, [[]]) if is_cut else (False, []))
    assert len(history(provider, "a")) == 1


@pytest.mark.protocol("3.guard.locked-row")
def test_a_checkpoint_holds_its_row_until_it_has_committed(provider: PostgresProvider, race: Race) -> None:
    run = make_claimed(provider, "a", by="first")
    owner, other = race.actor("owner"), race.actor("other")
    owner.do("begin")

    owner.do(SQL.record_steps.sql, steps.record_steps([record_step(run)]))
    cancelled = other.start("update dbos.workflow_status set status = 'CANCELLED' where workflow_uuid = 'a'")

    race.until_waiting(other)
    owner.do("commit")
    cancelled.result()
    assert [step.place for step in history(provider, "a")] == [1]


@pytest.mark.protocol("3.guard.aba")
@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_run_that_was_cancelled_resumed_and_claimed_again_by_the_same_executor_is_another_run(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, _, write = STATEMENTS[name]
    run = make_claimed(provider, "a", by="first")
    other, zombie = race.actor("other"), race.actor("zombie")
    other.do("begin")
    other.do("update dbos.workflow_status set status = 'CANCELLED', owner_xid = null, queue_name = null")
    other.do("update dbos.workflow_status set status = 'ENQUEUED', queue_name = 'resumed'")
    assert claim(other, "first", "resumed")

    sql = cut(statement.sql, "and w.owner_xid = i.token") if is_cut else statement.sql
    written = zombie.start(sql, write(run))
    race.until_waiting(zombie)
    other.do("commit")

    assert bool(written.result()) is is_cut


@pytest.mark.protocol("3.guard.executor")
@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_run_whose_row_another_library_took_is_refused(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, _, write = STATEMENTS[name]
    run = make_claimed(provider, "a", by="first")
    other, zombie = race.actor("other"), race.actor("zombie")
    other.do("begin")
    other.do("update dbos.workflow_status set executor_id = 'local', started_at_epoch_ms = 1")

    sql = cut(statement.sql, "and w.executor_id = i.executor") if is_cut else statement.sql
    written = zombie.start(sql, write(run))
    race.until_waiting(zombie)
    other.do("commit")

    assert bool(written.result()) is is_cut


@pytest.mark.protocol("3.guard.condition")
@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_run_that_was_cancelled_meanwhile_is_refused(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, _, write = STATEMENTS[name]
    run = make_claimed(provider, "a", by="first")
    other, zombie = race.actor("other"), race.actor("zombie")
    other.do("begin")
    # Another library's cancel may leave executor and token where they are.
    other.do("update dbos.workflow_status set status = 'CANCELLED'")

    sql = cut(statement.sql, "w.status = 'PENDING' and ") if is_cut else statement.sql
    written = zombie.start(sql, write(run))
    race.until_waiting(zombie)
    other.do("commit")

    assert bool(written.result()) is is_cut


@pytest.mark.protocol("3.chain")
@pytest.mark.parametrize("name", [name for name in STATEMENTS if name != "hand_back_workflows"])
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_run_whose_last_record_the_database_lost_writes_nothing(
    provider: PostgresProvider, race: Race, name: str, *, is_cut: bool
) -> None:
    statement, _, write = STATEMENTS[name]
    run = make_claimed(provider, "a", by="first")
    commit(provider, record_step(run, 7))
    actor = race.actor("run")
    actor.do("delete from dbos.operation_outputs")

    sql = cut(statement.sql, CHAIN) if is_cut else statement.sql
    accepted = actor.do(sql, write(run) | {"afters": "{7}"})

    assert bool(accepted) is is_cut


@pytest.mark.protocol("3.chain.one-probe")
@pytest.mark.parametrize("name", [name for name in STATEMENTS if name != "hand_back_workflows"])
def test_the_chain_condition_is_one_index_probe(provider: PostgresProvider, race: Race, name: str) -> None:
    statement, _, write = STATEMENTS[name]
    run = make_claimed(provider, "a")

    plan = race.observer.do(f"explain {statement.sql}", write(run))

    lines = [line for (line,) in plan]
    probes = [below for line, below in pairwise(lines) if "Scan using operation_outputs_pkey" in line]
    assert probes
    assert all("Index Cond: ((workflow_uuid = " in probe and "(function_id = " in probe for probe in probes)
    assert not any("Scan on operation_outputs" in line for line in lines)
