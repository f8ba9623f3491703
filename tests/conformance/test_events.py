"""An event holds the latest value of its key, and each value is kept by its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durust.model.records import Checkpoint
from durust.model.waits import StoredValue
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
from tests.conformance.publishing import set_event


def test_an_event_is_recorded_and_can_be_read(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcome = commit_one(provider, set_event(claimed, 3, text="[1]", serialization="other"))

    assert outcome == Recorded()
    assert provider.events(claimed.lease.workflow_id) == {"progress": StoredValue("[1]", "other")}
    assert history(provider, claimed.lease.workflow_id) == [
        Checkpoint(3, "DBOS.setEvent", None, None, FORMAT, None, 1_003, 2_003, claimed.lease.token)
    ]


def test_a_workflow_without_events_has_none(provider: StateProvider) -> None:
    assert provider.events("nowhere") == {}


@pytest.mark.covers(111)
def test_the_last_value_of_a_key_stands(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    commit(provider, set_event(claimed, 1))
    commit(provider, set_event(claimed, 2, after=1), set_event(claimed, 3, key="other", after=1))

    texts = {key: value.text for key, value in provider.events(claimed.lease.workflow_id).items()}
    assert texts == {"other": '"3"', "progress": '"2"'}


@pytest.mark.protocol("4.checkpoints.events")
@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("places", [(1, 2), (2, 1)])
def test_of_two_values_that_of_the_higher_place_stands(
    provider: StateProvider, places: tuple[int, int], batches: int
) -> None:
    claimed = make_claimed(provider)
    writes = [set_event(claimed, place) for place in places]

    outcomes = commit(provider, *writes) if batches == 1 else [commit_one(provider, write) for write in writes]

    assert outcomes == [Recorded(), Recorded()]
    assert provider.events(claimed.lease.workflow_id)["progress"].text == '"2"'


def test_an_event_is_guarded_like_a_step(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, set_event(claimed))

    assert outcome == Fenced(holder="second")
    assert provider.events(claimed.lease.workflow_id) == {}


def test_an_event_whose_predecessor_is_gone_does_not_stand(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcome = commit_one(provider, set_event(claimed, 2, after=1))

    assert outcome == HistoryLost()
    assert provider.events(claimed.lease.workflow_id) == {}


@pytest.mark.parametrize("times", ["in two commits", "in one"])
def test_an_event_that_is_sent_twice_stands_once(provider: StateProvider, times: str) -> None:
    claimed = make_claimed(provider)
    write = set_event(claimed)

    outcomes = commit(provider, write, write) if times == "in one" else [commit_one(provider, write) for _ in "12"]

    assert outcomes == [Recorded(), Recorded()]
    assert len(history(provider, claimed.lease.workflow_id)) == 1


@pytest.mark.protocol("4.checkpoints.events")
def test_an_event_that_is_sent_again_does_not_come_back_over_a_later_one(provider: StateProvider) -> None:
    claimed = make_claimed(provider, by="first")
    write = set_event(claimed, 1)
    commit(provider, write)
    commit(provider, set_event(claimed, 2, after=1))
    reclaim(provider, claimed.lease, by="second")

    outcome = commit_one(provider, write)

    assert outcome == Recorded()
    assert provider.events(claimed.lease.workflow_id)["progress"].text == '"2"'


def test_an_event_where_a_step_stands_diverges(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, record_step(claimed))
    [recorded] = history(provider, claimed.lease.workflow_id)

    outcomes = commit(provider, set_event(claimed), set_event(claimed, 2))

    assert outcomes == [Diverged(recorded), Recorded()]
    assert provider.events(claimed.lease.workflow_id)["progress"].text == '"2"'


def test_a_fenced_event_costs_its_neighbours_nothing(provider: StateProvider) -> None:
    runs = [make_claimed(provider, by=f"executor {number}") for number in range(3)]
    reclaim(provider, runs[1].lease, by="another")

    outcomes = commit(provider, *(set_event(run) for run in runs))

    assert outcomes == [Recorded(), Fenced(holder="another"), Recorded()]
    assert [len(provider.events(run.lease.workflow_id)) for run in runs] == [1, 0, 1]


def test_a_key_that_no_database_can_hold_is_refused_alone(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, set_event(claimed, 1, key="a\0b"), set_event(claimed, 2))

    assert isinstance(outcomes[0], Refused)
    assert outcomes[1] == Recorded()


def test_an_event_of_the_batch_that_ends_its_run_stands(provider: StateProvider) -> None:
    claimed = make_claimed(provider)

    outcomes = commit(provider, finish(claimed), set_event(claimed))

    assert outcomes == [Recorded(), Recorded()]
    assert len(provider.events(claimed.lease.workflow_id)) == 1


def test_events_go_with_their_workflow(provider: StateProvider) -> None:
    claimed = make_claimed(provider)
    commit(provider, set_event(claimed), finish(replace(claimed.lease)))

    purged = purge(provider, age=0.0)

    assert purged.workflows == 1
    assert provider.events(claimed.lease.workflow_id) == {}


@pytest.mark.covers(41)
def test_hundreds_of_events_are_set_in_one_batch(provider: StateProvider) -> None:
    runs = [make_claimed(provider) for _ in range(4)]
    writes = [set_event(run, place, key=f"key {place % 7}") for place in range(1, 101) for run in runs]

    outcomes = commit(provider, *writes)

    assert outcomes == [Recorded()] * 400
    latest = {f"key {key}": f'"{max(place for place in range(1, 101) if place % 7 == key)}"' for key in range(7)}
    assert all(
        {key: value.text for key, value in provider.events(run.lease.workflow_id).items()} == latest for run in runs
    )
