"""Messages that are sent and received while somebody else is at it: none is lost, doubled or overtaken."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import DeadlockDetected, ForeignKeyViolation

from durust.model.claims import Claimed
from durust.model.message_writes import ReceiveMessage
from durust.model.status import Status
from durust.model.waits import MESSAGE, NULL_TOPIC
from durust.model.wakes import wakes_of
from durust.model.writes import Missing, Nothing, ParkWorkflow, Recorded, Wait
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import messages, steps, waking
from durust.storage.postgres_writes.parking import park_workflows, wake_parked
from tests.conformance.builders import (
    commit,
    commit_one,
    finish,
    history,
    letter,
    make_claimed,
    make_enqueued,
    receive,
    record_send,
    record_step,
    row_of,
    send,
)
from tests.storage.races import Race, cut

SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
HOLD_TARGET = "              for no key update) w\n), lost"
LOOSE_TARGET = "              ) w\n), lost"


def make_receiver(provider: PostgresProvider, *texts: str) -> Claimed:
    """Return a run to which messages were sent."""
    run = make_claimed(provider, "a")
    commit(provider, *(send(letter("a", text)) for text in texts))
    return run


def left(provider: PostgresProvider) -> list[str]:
    """Return the texts of the messages that the receiver has not received."""
    return [message.text for message in provider.messages("a") if not message.is_consumed]


def received(provider: PostgresProvider) -> list[str | None]:
    """Return what the receiver has recorded."""
    return [step.output for step in history(provider, "a")]


@pytest.mark.covers(103)
@pytest.mark.protocol("4.recv")
@SHIPPED_OR_CUT
def test_a_receipt_that_stands_already_consumes_no_second_message(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_receiver(provider, "1", "2")
    one, again = race.actor("one"), race.actor("again")
    own = "\n       and ((p.id, p.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true"
    sql = cut(SQL.receive_messages.sql, own) if is_cut else SQL.receive_messages.sql
    parameters = messages.receive_messages([receive(run)])

    # The answer to the first is lost with its connection, so the batch is sent again while it is still under way.
    one.do("begin")
    one.do(sql, parameters)
    retried = again.start(sql, parameters)
    race.until_waiting(again)
    one.do("commit")

    assert retried.result() == []
    assert received(provider) == ["1"]
    assert left(provider) == ([] if is_cut else ["2"])


@pytest.mark.covers(103)
@pytest.mark.protocol("4.recv")
@SHIPPED_OR_CUT
def test_a_message_that_somebody_else_consumes_meanwhile_is_not_received_too(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    run = make_receiver(provider, "1", "2")
    other, receiver = race.actor("other"), race.actor("receiver")
    other.do("begin")
    other.do("update dbos.notifications set consumed = true where message = '1'")

    lock = "            limit 1\n              for update) n"
    sql = cut(SQL.receive_messages.sql, lock, "            limit 1) n") if is_cut else SQL.receive_messages.sql
    picking = receiver.start(sql, messages.receive_messages([receive(run)]))
    race.until_waiting(receiver)
    other.do("commit")
    picking.result()

    assert received(provider) == (["1"] if is_cut else ["2"])


@pytest.mark.covers(101)
@pytest.mark.protocol("4.checkpoints.sends")
@pytest.mark.parametrize("by", ["a run", "somebody outside"])
@SHIPPED_OR_CUT
def test_messages_are_received_in_the_order_of_their_commits(
    provider: PostgresProvider, race: Race, by: str, *, is_cut: bool
) -> None:
    run, sender = make_receiver(provider), make_claimed(provider, "b")
    first, second = race.actor("first"), race.actor("second")
    statement = SQL.record_sends if by == "a run" else SQL.send_messages
    sql = cut(statement.sql, HOLD_TARGET, LOOSE_TARGET) if is_cut else statement.sql
    parameters = (
        messages.record_sends([record_send(sender, letter("a", "2"))])
        if by == "a run"
        else messages.send_messages([send(letter("a", "2"))])
    )

    first.do("begin")
    lone = cut(SQL.send_messages.sql, HOLD_TARGET, LOOSE_TARGET) if is_cut else SQL.send_messages.sql
    first.do(lone, messages.send_messages([send(letter("a", "1"))]))
    sending = second.start(sql, parameters)
    has_waited = race.until_settled(second, sending)
    early = commit_one(provider, receive(run, 1)) if is_cut else None
    first.do("commit")
    sending.result()
    commit(provider, receive(run, 2), receive(run, 3))

    assert has_waited is not is_cut
    # Cut, the one with the lower number comes later.
    assert early == (Recorded(output="2", serialization="portable_json") if is_cut else None)
    assert received(provider) == (["2", "1"] if is_cut else ["1", "2"])


@pytest.mark.covers(105)
@pytest.mark.protocol("4.checkpoints.sends")
@pytest.mark.parametrize("by", ["a run", "somebody outside"])
@SHIPPED_OR_CUT
def test_a_receiver_that_is_deleted_meanwhile_is_an_outcome_and_no_failure(
    provider: PostgresProvider, race: Race, by: str, *, is_cut: bool
) -> None:
    make_enqueued(provider, "a")
    sender = make_claimed(provider, "b")
    other, actor = race.actor("other"), race.actor("sender")
    statement = SQL.record_sends if by == "a run" else SQL.send_messages
    sql = cut(statement.sql, HOLD_TARGET, LOOSE_TARGET) if is_cut else statement.sql
    parameters = (
        messages.record_sends([record_send(sender, letter("a"))])
        if by == "a run"
        else messages.send_messages([send(letter("a"))])
    )
    other.do("begin")
    other.do("delete from dbos.workflow_status where workflow_uuid = 'a'")

    sending = actor.start(sql, parameters)
    race.until_waiting(actor)
    other.do("commit")

    if is_cut:
        assert isinstance(sending.exception(), ForeignKeyViolation)
    else:
        [row] = sending.result()
        assert row[-1] == "a"
    assert history(provider, "b") == []
    assert commit_one(provider, record_send(sender, letter("a"))) == Missing("a")


@pytest.mark.protocol("4.connections.ordered")
@SHIPPED_OR_CUT
def test_two_batches_that_send_to_each_others_runs_do_not_lock_each_other_out(
    provider: PostgresProvider, race: Race, *, is_cut: bool
) -> None:
    runs = make_claimed(provider, "a"), make_claimed(provider, "b")
    one, other = race.actor("one"), race.actor("other")
    locks = [] if is_cut else [(SQL.lock_workflows.sql, messages.lock_workflows(["b", "a"]))]

    def calls(sender: Claimed, receiver: Claimed) -> list[tuple[str, columns.Params]]:
        sent = record_send(sender, letter(receiver.lease.workflow_id), place=2)
        return [
            *locks,
            (SQL.record_steps.sql, steps.record_steps([record_step(sender)])),
            (SQL.record_sends.sql, messages.record_sends([sent])),
        ]

    one.do("begin")
    other.do("begin")
    forwards, backwards = calls(*runs), calls(*runs[::-1])
    one.do(*forwards[0])
    waiting = other.start(*backwards[0])
    failed: list[BaseException | None] = []
    if is_cut:
        waiting.result()
        first = one.start(*forwards[1])
        race.until_waiting(one)
        second = other.start(*backwards[1])
        failed = [first.exception(), second.exception()]
    else:
        race.until_waiting(other)
        for call in forwards[1:]:
            one.do(*call)
        one.do("commit")
        waiting.result()
        for call in backwards[1:]:
            other.do(*call)
        other.do("commit")

    assert [type(error) for error in failed if error] == ([DeadlockDetected] if is_cut else [])
    assert is_cut or (len(history(provider, "a")), len(history(provider, "b"))) == (2, 2)


@pytest.mark.protocol("4.checkpoints.one-recv")
def test_receipts_of_one_topic_are_sent_one_after_the_other(provider: PostgresProvider) -> None:
    run = make_receiver(provider, "1")

    outcomes = commit(provider, receive(run, 1), receive(run, 2))

    assert outcomes == [Recorded(output="1", serialization="portable_json"), Nothing()]


@pytest.mark.protocol("4.checkpoints.one-recv")
def test_in_one_statement_two_receipts_of_one_topic_would_record_one_message_twice(
    provider: PostgresProvider, race: Race
) -> None:
    run = make_receiver(provider, "1")
    writes: list[ReceiveMessage] = [receive(run, 1), receive(run, 2)]

    race.observer.do(SQL.receive_messages.sql, messages.receive_messages(writes))

    assert received(provider) == ["1", "1"]


@pytest.mark.covers(110)
@pytest.mark.protocol("4.notifications.foreign")
@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_batch_notifies_in_its_transaction_only_where_the_trigger_is_another_librarys(
    provider: PostgresProvider, race: Race, url: str, *, is_foreign: bool
) -> None:
    make_enqueued(provider, "a")
    if is_foreign:
        race.observer.do("drop trigger dbos_notifications_trigger on dbos.notifications")
        race.observer.do(
            "create trigger dbos_notifications_trigger after insert on dbos.notifications for each row "
            "execute function dbos.notifications_function()"
        )
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("listen dbos_notifications_channel")
        commit(provider, send(letter("a", topic="t")))
        race.observer.do("select dbos.send_message('a', '1', 'plain')")
        heard = [notice.payload for notice in listening.notifies(timeout=10, stop_after=2 if is_foreign else 1)]

    assert heard == (["a::t", "a::plain"] if is_foreign else ["a::plain"])


def test_a_run_that_ends_in_the_batch_that_it_is_sent_to_keeps_the_message(provider: PostgresProvider) -> None:
    run = make_receiver(provider)

    outcomes = commit(provider, send(letter("a", "1")), finish(run))

    assert outcomes == [Recorded(), Recorded()]
    assert left(provider) == ["1"]


@pytest.mark.covers(109)
@pytest.mark.protocol("4.park.wakers")
@pytest.mark.parametrize("first", ["the sender", "the receiver"])
@SHIPPED_OR_CUT
def test_a_message_and_the_park_of_whoever_waits_for_it_cannot_miss_each_other(
    provider: PostgresProvider, race: Race, first: str, *, is_cut: bool
) -> None:
    run = make_receiver(provider)
    parking = ParkWorkflow(run.lease, None, None, (Wait(1, MESSAGE, "a", NULL_TOPIC),))
    sent = send(letter("a"))
    held = cut(SQL.send_messages.sql, HOLD_TARGET, LOOSE_TARGET) if is_cut else SQL.send_messages.sql
    calls = {
        "the sender": [
            (held, messages.send_messages([sent])),
            (SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(sent))),
        ],
        "the receiver": [
            (SQL.park_workflows.sql, park_workflows([parking])),
            (SQL.wake_parked.sql, wake_parked([parking])),
        ],
    }
    [(second, later)] = [(name, each) for name, each in calls.items() if name != first]
    one, other = race.actor(first), race.actor(second)

    one.do("begin")
    other.do("begin")
    for call in calls[first]:
        one.do(*call)
    waiting = other.start(*later[0])
    has_waited = race.until_settled(other, waiting)
    if has_waited:
        one.do("commit")
        waiting.result()
    other.do(*later[1])
    if not has_waited:
        one.do("commit")
    other.do("commit")

    # Cut, neither sees the other: the message is there, and the run waits for it until a sweep comes by.
    assert has_waited is not is_cut
    assert row_of(provider, "a").status is (Status.DELAYED if is_cut else Status.ENQUEUED)
