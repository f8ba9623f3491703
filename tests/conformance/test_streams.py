"""A stream holds values in the order in which they were written, until it is closed."""

from __future__ import annotations

import pytest

from durust.model.publications import Closed
from durust.model.records import Checkpoint
from durust.model.waits import StreamEntry
from durust.model.writes import Diverged, Fenced, HistoryLost, Recorded, Refused
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    FORMAT,
    commit,
    commit_one,
    finish,
    history,
    make_claimed,
    purge,
    reclaim,
    record_step,
)
from tests.conformance.publishing import append, close

END = '"__DBOS_STREAM_CLOSED__"'


def texts(provider: StateProvider, workflow_id: str, key: str = "tokens") -> list[str]:
    """Return what stands in a stream, whose offsets have no gap."""
    entries = provider.streams(workflow_id).get(key, ())
    assert [entry.offset for entry in entries] == list(range(len(entries)))
    return [entry.text for entry in entries]


def test_a_value_is_recorded_and_can_be_read(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcome = commit_one(provider, append(claimed, 3, text="[1]", serialization="other"))

    assert outcome == Recorded()
    assert provider.streams(claimed.lease.workflow_id) == {"tokens": (StreamEntry(0, "[1]", "other", 3),)}
    assert history(provider, claimed.lease.workflow_id) == [
        Checkpoint(3, "DBOS.writeStream", None, None, FORMAT, None, 1_003, 2_003, claimed.lease.token)
    ]


def test_a_workflow_without_streams_has_none(provider: StateProvider) -> None:
    assert provider.streams("nowhere") == {}


@pytest.mark.covers(115)
def test_values_stand_in_the_order_in_which_they_were_committed(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    commit(provider, append(claimed, 1))
    commit(provider, append(claimed, 3, after=1), append(claimed, 4, key="other"), append(claimed, 2, after=1))
    commit(provider, append(claimed, 5, after=2))

    assert texts(provider, claimed.lease.workflow_id) == ['"1"', '"3"', '"2"', '"5"']
    assert texts(provider, claimed.lease.workflow_id, "other") == ['"4"']


def test_streams_of_two_workflows_have_offsets_of_their_own(provider: StateProvider) -> None:
    runs = [make_claimed(provider) for _ in range(3)]

    commit(provider, *(append(run, place) for place in (1, 2) for run in runs))

    assert [texts(provider, run.lease.workflow_id) for run in runs] == [['"1"', '"2"']] * 3


@pytest.mark.covers(41)
def test_hundreds_of_values_are_written_in_one_batch(provider: StateProvider) -> None:
    runs = [make_claimed(provider) for _ in range(4)]

    outcomes = commit(provider, *(append(run, place) for place in range(1, 101) for run in runs))

    assert outcomes == [Recorded()] * 400
    written = [f'"{place}"' for place in range(1, 101)]
    assert all(texts(provider, run.lease.workflow_id) == written for run in runs)


def test_a_stream_is_closed_by_its_last_entry(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, append(claimed, 1))

    outcome = commit_one(provider, close(claimed, 2, after=1))

    assert outcome == Recorded()
    assert texts(provider, claimed.lease.workflow_id) == ['"1"', END]
    assert [step.name for step in history(provider, claimed.lease.workflow_id)] == [
        "DBOS.writeStream",
        "DBOS.closeStream",
    ]


@pytest.mark.covers(117)
@pytest.mark.parametrize("batches", [1, 2])
def test_nothing_is_written_behind_the_end_of_a_stream(provider: StateProvider, batches: int) -> None:
    claimed = make_claimed(provider)
    writes = [append(claimed, 1), close(claimed, 2), append(claimed, 3), append(claimed, 4, key="other")]

    outcomes = commit(provider, *writes) if batches == 1 else [commit_one(provider, write) for write in writes]

    assert outcomes == [Recorded(), Recorded(), Closed(), Recorded()]
    assert texts(provider, claimed.lease.workflow_id) == ['"1"', END]
    assert {step.place for step in history(provider, claimed.lease.workflow_id)} == {1, 2, 4}


@pytest.mark.parametrize("batches", [1, 2])
def test_a_stream_that_is_closed_twice_ends_once(provider: StateProvider, batches: int) -> None:
    claimed = make_claimed(provider)
    writes = [close(claimed, 1), close(claimed, 2)]

    outcomes = commit(provider, *writes) if batches == 1 else [commit_one(provider, write) for write in writes]

    assert outcomes == [Recorded(), Recorded()]
    assert texts(provider, claimed.lease.workflow_id) == [END]


def test_another_librarys_mark_closes_a_stream_too(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, append(claimed, 1, text="__DBOS_STREAM_CLOSED__", serialization=""))

    outcome = commit_one(provider, append(claimed, 2, after=1))

    assert outcome == Closed()


def test_a_value_is_guarded_like_a_step(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    reclaim(provider, claimed.lease, by="second")

    outcomes = commit(provider, append(claimed), close(claimed, 2))

    assert outcomes == [Fenced(holder="second")] * 2
    assert provider.streams(claimed.lease.workflow_id) == {}


def test_a_zombie_learns_that_it_is_fenced_also_where_the_stream_is_closed(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    commit(provider, close(claimed, 1))
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, append(claimed, 2, after=1))

    assert outcome == Fenced(holder="second")


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_value_whose_predecessor_is_gone_does_not_stand(provider: StateProvider, *, is_closed: bool) -> None:
    claimed = make_claimed(provider)
    if is_closed:
        commit(provider, close(claimed, 1))

    outcome = commit_one(provider, append(claimed, 3, after=2))

    assert outcome == HistoryLost()
    assert len(texts(provider, claimed.lease.workflow_id)) == is_closed


@pytest.mark.protocol("4.checkpoints.streams")
@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_a_value_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    claimed = make_claimed(provider)
    write = append(claimed)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert texts(provider, claimed.lease.workflow_id) == ['"1"']


def test_a_value_that_is_sent_again_after_its_stream_was_closed_still_stands(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    write = append(claimed, 1)
    commit(provider, write)
    commit(provider, close(claimed, 2, after=1))
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, write)

    assert outcome == Recorded()
    assert texts(provider, claimed.lease.workflow_id) == ['"1"', END]


def test_a_value_where_a_step_stands_diverges(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed))
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcomes = commit(provider, append(claimed, 1), append(claimed, 2))

    assert outcomes == [Diverged(recorded), Recorded()]
    assert texts(provider, claimed.lease.workflow_id) == ['"2"']


def test_a_key_that_no_database_can_hold_is_refused_alone(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, append(claimed, 1, key="\ud800"), append(claimed, 2))

    assert isinstance(outcomes[0], Refused)
    assert outcomes[1] == Recorded()


def test_values_of_the_batch_that_ends_their_run_stand(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, finish(claimed), append(claimed, 1), close(claimed, 2))

    assert outcomes == [Recorded()] * 3
    assert texts(provider, claimed.lease.workflow_id) == ['"1"', END]


def test_streams_go_with_their_workflow(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, append(claimed), finish(claimed))

    purged = purge(provider, age=0.0)

    assert purged.workflows == 1
    assert provider.streams(claimed.lease.workflow_id) == {}
