"""A message is sent once and received once, by the run that owns the workflow, in the order of its topic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from durust.model.claims import Claimed
from durust.model.message_writes import ReceiveMessage, RecordSend
from durust.model.records import Checkpoint, Lease, MessageRow
from durust.model.waits import NULL_TOPIC
from durust.model.writes import Diverged, Fenced, HistoryLost, Missing, Nothing, Recorded
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    FORMAT,
    cancel,
    commit,
    commit_one,
    finish,
    history,
    letter,
    make_claimed,
    make_enqueued,
    purge,
    receive,
    reclaim,
    record_send,
    record_step,
    row_of,
    send,
)

GUARDED: dict[str, Callable[[Claimed], RecordSend | ReceiveMessage]] = {
    "a send": lambda run: record_send(run, letter("target", message_id="guarded")),
    "a receipt": receive,
    "a timeout": lambda run: receive(run, is_timeout=True),
}


def texts(provider: StateProvider, workflow_id: str) -> list[str]:
    """Return the texts of all messages to a workflow."""
    return [message.text for message in provider.messages(workflow_id)]


def left(provider: StateProvider, workflow_id: str) -> list[str]:
    """Return the texts of those that nobody has received."""
    return [message.text for message in provider.messages(workflow_id) if not message.is_consumed]


# Sending


def test_a_message_from_outside_waits_for_its_receiver(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    outcome = commit_one(provider, send(letter(target, '"go"', topic="control", message_id="m")))

    [message] = provider.messages(target)
    assert outcome == Recorded()
    assert replace(message, created_at_ms=0) == MessageRow("m", target, "control", '"go"', FORMAT, 0)
    assert abs(message.created_at_ms - row_of(provider, target).created_at_ms) < 60_000


def test_a_message_without_a_topic_shows_none(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    commit(provider, send(letter(target)))

    assert [message.topic for message in provider.messages(target)] == [None]


@pytest.mark.covers(105)
def test_a_message_to_nobody_is_an_outcome_and_costs_its_neighbours_nothing(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    outcomes = commit(provider, send(letter("nobody")), send(letter(target, '"one"')), send(letter("nobody")))

    assert outcomes == [Missing("nobody"), Recorded(), Missing("nobody")]
    assert texts(provider, target) == ['"one"']


@pytest.mark.covers(106)
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_message_that_is_sent_twice_arrives_once(provider: StateProvider, times: str) -> None:
    target = make_enqueued(provider)
    write = send(letter(target))

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert len(provider.messages(target)) == 1


@pytest.mark.covers(106)
def test_a_message_that_was_received_is_not_sent_again(provider: StateProvider) -> None:
    run = make_claimed(provider)
    write = send(letter(run.lease.workflow_id))
    commit(provider, write)
    commit(provider, receive(run))

    outcome = commit_one(provider, write)

    assert outcome == Recorded()
    assert left(provider, run.lease.workflow_id) == []


@pytest.mark.covers(107)
def test_many_messages_are_sent_together(provider: StateProvider) -> None:
    one, two = make_enqueued(provider), make_enqueued(provider)

    outcome = commit_one(provider, send(letter(one, "1"), letter(two, "2"), letter(one, "3")))

    assert outcome == Recorded()
    assert (texts(provider, one), texts(provider, two)) == (["1", "3"], ["2"])


@pytest.mark.covers(107)
def test_many_messages_of_which_one_goes_to_nobody_are_not_sent(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    outcomes = commit(provider, send(letter(target), letter("no"), letter("nobody")), send(letter(target, "1")))

    assert outcomes == [Missing("no"), Recorded()]
    assert texts(provider, target) == ["1"]


@pytest.mark.covers(107)
def test_one_id_twice_among_many_is_one_message(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    outcome = commit_one(provider, send(letter(target, "1", message_id="m"), letter(target, "2", message_id="m")))

    assert outcome == Recorded()
    assert texts(provider, target) == ["1"]


def test_no_message_at_all_is_sent_at_once(provider: StateProvider) -> None:
    assert commit(provider, send()) == [Recorded()]


def test_messages_of_one_batch_arrive_in_its_order(provider: StateProvider) -> None:
    target = make_enqueued(provider)

    commit(provider, *(send(letter(target, str(number), message_id=f"{9 - number}")) for number in range(9)))

    assert texts(provider, target) == [str(number) for number in range(9)]


def test_a_workflow_that_has_ended_may_be_sent_to(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, finish(run))

    outcome = commit_one(provider, send(letter(run.lease.workflow_id)))

    assert outcome == Recorded()


def test_a_message_goes_with_its_receiver(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id)), finish(run))

    purge(provider, keep=0)

    assert provider.messages(run.lease.workflow_id) == []
    assert commit(provider, send(letter(run.lease.workflow_id))) == [Missing(run.lease.workflow_id)]


# Sending from a run


def test_a_run_sends_and_records_it(provider: StateProvider) -> None:
    run, target = make_claimed(provider), make_enqueued(provider)

    outcome = commit_one(provider, record_send(run, letter(target, '"go"'), place=3))

    assert outcome == Recorded()
    assert texts(provider, target) == ['"go"']
    assert history(provider, run.lease.workflow_id) == [
        Checkpoint(3, "DBOS.send", None, None, FORMAT, None, 1_003, 2_003, run.lease.token)
    ]


@pytest.mark.covers(105)
def test_a_run_that_sends_to_nobody_records_nothing(provider: StateProvider) -> None:
    run = make_claimed(provider)

    outcome = commit_one(provider, record_send(run, letter("nobody")))

    assert outcome == Missing("nobody")
    assert history(provider, run.lease.workflow_id) == []


@pytest.mark.covers(103)
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_send_that_comes_again_sends_once(provider: StateProvider, times: str) -> None:
    run, target = make_claimed(provider), make_enqueued(provider)
    write = record_send(run, letter(target))

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert len(provider.messages(target)) == 1


def test_a_send_where_another_record_stands_sends_nothing(provider: StateProvider) -> None:
    run, target = make_claimed(provider), make_enqueued(provider)
    commit(provider, record_step(run))
    [recorded] = history(provider, run.lease.workflow_id)

    outcomes = commit(provider, record_send(run, letter(target)), record_send(run, letter("nobody")))

    assert outcomes == [Diverged(recorded), Diverged(recorded)]
    assert provider.messages(target) == []


def test_a_run_sends_to_itself(provider: StateProvider) -> None:
    run = make_claimed(provider)

    outcomes = commit(provider, record_send(run, letter(run.lease.workflow_id, "1")), receive(run, 2))

    assert outcomes == [Recorded(), Recorded(output="1", serialization=FORMAT)]


def test_two_runs_send_to_each_other_in_one_batch(provider: StateProvider) -> None:
    one, two = make_claimed(provider), make_claimed(provider)

    outcomes = commit(
        provider,
        record_send(one, letter(two.lease.workflow_id, "1")),
        record_send(two, letter(one.lease.workflow_id, "2")),
        receive(one, 2),
        receive(two, 2),
    )

    assert [getattr(outcome, "output", None) for outcome in outcomes] == [None, None, "2", "1"]


# Receiving


@pytest.mark.covers(101)
def test_messages_are_received_by_topic_in_their_order(provider: StateProvider) -> None:
    run = make_claimed(provider)
    workflow_id = run.lease.workflow_id
    topics = (("1", "a"), ("2", NULL_TOPIC), ("3", "a"), ("4", "b"), ("5", NULL_TOPIC))
    commit(provider, *(send(letter(workflow_id, text, topic=topic)) for text, topic in topics))

    asked = ("a", NULL_TOPIC, "b", "a", NULL_TOPIC)
    received = [commit_one(provider, receive(run, place, topic=topic)) for place, topic in enumerate(asked, 1)]

    assert [outcome.output for outcome in received if isinstance(outcome, Recorded)] == ["1", "2", "4", "3", "5"]
    assert left(provider, workflow_id) == []


def test_a_received_message_is_the_record(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id, "gASVBQ==", serialization="py_pickle")))

    outcome = commit_one(provider, receive(run, 3))

    [message] = provider.messages(run.lease.workflow_id)
    assert outcome == Recorded(output="gASVBQ==", serialization="py_pickle")
    assert history(provider, run.lease.workflow_id) == [
        Checkpoint(3, "DBOS.recv", "gASVBQ==", None, "py_pickle", None, 1_003, 2_003, run.lease.token)
    ]
    assert (message.is_consumed, message.consumed_by) == (True, 3)


def test_where_no_message_is_nothing_is_recorded(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id, topic="another")))

    outcomes = commit(provider, receive(run), record_step(run, 2))

    assert outcomes == [Nothing(), Recorded()]
    assert [step.place for step in history(provider, run.lease.workflow_id)] == [2]


@pytest.mark.covers(102)
def test_a_timeout_records_that_none_came(provider: StateProvider) -> None:
    run = make_claimed(provider)

    outcome = commit_one(provider, receive(run, is_timeout=True))

    [step] = history(provider, run.lease.workflow_id)
    assert outcome == Recorded(output="null", serialization=FORMAT)
    assert (step.name, step.output, step.error, step.serialization) == ("DBOS.recv", "null", None, FORMAT)


@pytest.mark.covers(102)
def test_a_message_that_is_there_at_the_timeout_is_received(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id, "1")))

    outcome = commit_one(provider, receive(run, is_timeout=True))

    assert outcome == Recorded(output="1", serialization=FORMAT)
    assert left(provider, run.lease.workflow_id) == []


@pytest.mark.covers(103)
@pytest.mark.parametrize("is_timeout", [False, True])
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_receipt_that_comes_again_consumes_one_message(
    provider: StateProvider, times: str, *, is_timeout: bool
) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id, "1"), letter(run.lease.workflow_id, "2")))
    write = receive(run, is_timeout=is_timeout)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(output="1", serialization=FORMAT)] * 2
    assert left(provider, run.lease.workflow_id) == ["2"]


@pytest.mark.covers(103)
def test_a_receipt_where_another_record_stands_consumes_nothing(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id)), record_step(run))
    [recorded] = history(provider, run.lease.workflow_id)

    outcomes = commit(provider, receive(run), receive(run, topic="empty"), receive(run, is_timeout=True))

    assert outcomes == [Diverged(recorded)] * 3
    assert len(left(provider, run.lease.workflow_id)) == 1


@pytest.mark.covers(103)
def test_a_receipt_of_an_earlier_claim_is_not_repeated_by_the_next(provider: StateProvider) -> None:
    run = make_claimed(provider, by="first")
    commit(provider, send(letter(run.lease.workflow_id, "1"), letter(run.lease.workflow_id, "2")), receive(run))
    again = reclaim(provider, run.lease, by="second")
    [recorded] = again.history

    outcomes = [commit_one(provider, receive(again)), commit_one(provider, receive(again, 2, after=1))]

    assert outcomes == [Diverged(recorded), Recorded(output="2", serialization=FORMAT)]


def test_two_receipts_of_one_topic_in_a_batch_get_a_message_each(provider: StateProvider) -> None:
    run = make_claimed(provider)
    commit(provider, send(letter(run.lease.workflow_id, "1"), letter(run.lease.workflow_id, "2")))

    outcomes = commit(provider, receive(run, 1), receive(run, 2), receive(run, 3), receive(run, 4, is_timeout=True))

    assert outcomes == [
        Recorded(output="1", serialization=FORMAT),
        Recorded(output="2", serialization=FORMAT),
        Nothing(),
        Recorded(output="null", serialization=FORMAT),
    ]


def test_receipts_of_several_runs_and_topics_share_a_batch(provider: StateProvider) -> None:
    one, two = make_claimed(provider), make_claimed(provider)
    commit(provider, *(send(letter(run.lease.workflow_id, text, topic=text)) for run in (one, two) for text in "12"))

    outcomes = commit(provider, *(receive(run, place, topic=f"{place}") for run in (one, two) for place in (1, 2)))

    assert [getattr(outcome, "output", None) for outcome in outcomes] == ["1", "2", "1", "2"]


def test_a_message_of_the_same_batch_is_received(provider: StateProvider) -> None:
    run = make_claimed(provider)

    outcomes = commit(provider, receive(run), send(letter(run.lease.workflow_id, "1")))

    assert outcomes == [Recorded(output="1", serialization=FORMAT), Recorded()]


# The guard


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("why", ["reclaimed", "cancelled", "another executor", "nowhere", "no predecessor"])
def test_only_the_owner_of_a_run_sends_and_receives(provider: StateProvider, name: str, why: str) -> None:
    run = make_claimed(provider, by="first")
    workflow_id = run.lease.workflow_id
    make_enqueued(provider, "target")
    commit(provider, send(letter(workflow_id)))
    write = GUARDED[name](run)
    match why:
        case "reclaimed":
            reclaim(provider, run.lease, by="second")
        case "cancelled":
            commit(provider, cancel(workflow_id))
        case "another executor":
            write = replace(write, lease=replace(run.lease, executor_id="second"))
        case "nowhere":
            write = replace(write, lease=Lease("nowhere", "first", run.lease.token))
        case _:
            write = replace(write, after=7)

    outcome = commit_one(provider, write)

    holder = {"reclaimed": "second", "another executor": "first"}.get(why)
    assert outcome == (HistoryLost() if why == "no predecessor" else Fenced(holder))
    assert history(provider, workflow_id) == []
    assert provider.messages("target") == []
    assert len(left(provider, workflow_id)) == 1


def test_a_fenced_run_costs_the_neighbours_of_its_batch_nothing(provider: StateProvider) -> None:
    runs = [make_claimed(provider, by=f"executor {number}") for number in range(4)]
    target = make_enqueued(provider)
    commit(provider, *(send(letter(run.lease.workflow_id, str(number))) for number, run in enumerate(runs)))
    reclaim(provider, runs[2].lease, by="another")

    outcomes = commit(
        provider, *(receive(run) for run in runs), *(record_send(run, letter(target), place=2) for run in runs)
    )

    assert [type(outcome) for outcome in outcomes] == [Recorded, Recorded, Fenced, Recorded] * 2
    assert [len(left(provider, run.lease.workflow_id)) for run in runs] == [0, 0, 1, 0]
    assert len(provider.messages(target)) == 3
