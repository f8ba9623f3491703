"""Attributes are given to workflows from outside and by their runs, once, and roles are noted by who was let in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from durust.model.attribute_writes import SET_ATTRIBUTES_NAME, RecordAttributes, SetAttributes
from durust.model.claims import Claimed
from durust.model.records import Lease
from durust.model.writes import AssumeRole, Diverged, Fenced, HistoryLost, Missing, Recorded
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    cancel,
    commit,
    commit_one,
    finish,
    history,
    lease_of,
    make_claimed,
    make_enqueued,
    reclaim,
    record_step,
    row_of,
)


def attributes(provider: StateProvider, workflow_id: str) -> Any:
    """Read the attributes of a workflow; None where it has none."""
    text = row_of(provider, workflow_id).attributes
    return None if text is None else json.loads(text)


def record(of: Claimed | Lease, place: int, patch: str, *, after: int | None = None) -> RecordAttributes:
    """Return the write by which a run gives its workflow attributes."""
    return RecordAttributes(lease_of(of), after, place, patch, 1_000 + place, 2_000 + place)


@pytest.mark.covers(192)
def test_attributes_are_merged_at_the_top(provider: StateProvider) -> None:
    make_enqueued(provider, "a", attributes='{"keep":1,"replace":{"x":1},"drop":true}')

    outcome = commit_one(provider, SetAttributes("a", '{"replace":{"y":2},"drop":null,"new":[1,null],"gone":null}'))

    assert outcome == Recorded()
    assert attributes(provider, "a") == {"keep": 1, "replace": {"y": 2}, "new": [1, None]}


@pytest.mark.covers(192)
def test_a_workflow_that_has_none_gets_attributes_and_loses_its_last_one(provider: StateProvider) -> None:
    make_enqueued(provider, "a")

    commit(provider, SetAttributes("a", '{"x":"\\"ä\\\\"}'))
    held = attributes(provider, "a")
    commit(provider, SetAttributes("a", '{"x":null}'))

    assert held == {"x": '"ä\\'}
    assert attributes(provider, "a") is None


@pytest.mark.covers(192)
def test_what_has_ended_gets_attributes_too_and_what_is_not_there_is_missing(provider: StateProvider) -> None:
    commit(provider, finish(make_claimed(provider, "a")))

    outcomes = commit(provider, SetAttributes("a", '{"x":1}'), SetAttributes("nobody", '{"x":1}'))

    assert outcomes == [Recorded(), Missing()]
    assert attributes(provider, "a") == {"x": 1}


def test_of_several_in_one_batch_the_last_comes_last(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    make_enqueued(provider, "b")

    outcomes = commit(
        provider,
        SetAttributes("a", '{"x":1,"y":1}'),
        SetAttributes("b", '{"x":5}'),
        SetAttributes("a", '{"x":2}'),
        SetAttributes("a", '{"x":3,"y":null}'),
    )

    assert outcomes == [Recorded()] * 4
    assert (attributes(provider, "a"), attributes(provider, "b")) == ({"x": 3}, {"x": 5})


@pytest.mark.covers(192)
def test_a_run_gives_attributes_in_the_transaction_of_their_record(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", attributes='{"x":1}')

    outcomes = commit(provider, record(claimed, 1, '{"y":2}'), record(claimed, 2, '{"x":null}'))

    assert outcomes == [Recorded(), Recorded()]
    assert attributes(provider, "a") == {"y": 2}
    assert [
        (step.place, step.name, step.output, step.error, step.completed_at_ms) for step in history(provider, "a")
    ] == [
        (1, SET_ATTRIBUTES_NAME, None, None, 2_001),
        (2, SET_ATTRIBUTES_NAME, None, None, 2_002),
    ]


def test_a_repeated_record_does_not_give_its_attributes_again(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record(claimed, 1, '{"x":1}'))
    commit(provider, SetAttributes("a", '{"x":"of somebody else"}'))

    outcome = commit_one(provider, record(claimed, 1, '{"x":1}'))

    assert outcome == Recorded()
    assert attributes(provider, "a") == {"x": "of somebody else"}


@pytest.mark.parametrize("how", ["reclaimed", "cancelled"])
def test_a_run_that_lost_its_lease_gives_no_attributes_and_assumes_no_role(provider: StateProvider, how: str) -> None:
    lost = make_claimed(provider, "a", by="first").lease
    if how == "reclaimed":
        reclaim(provider, lost, by="second")
    else:
        commit(provider, cancel("a"))
    holder = "second" if how == "reclaimed" else None

    outcomes = commit(provider, record(lost, 1, '{"x":1}'), AssumeRole(lost, "admin"))

    assert outcomes == [Fenced(holder), Fenced(holder)]
    assert (attributes(provider, "a"), row_of(provider, "a").assumed_role) == (None, None)
    assert history(provider, "a") == []


def test_a_place_that_is_taken_and_a_chain_that_is_broken_give_no_attributes(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 1))
    [standing] = history(provider, "a")

    outcomes = [
        commit_one(provider, record(claimed, 1, '{"x":1}')),
        commit_one(provider, record(claimed, 3, "{}", after=2)),
    ]

    assert outcomes == [Diverged(standing), HistoryLost()]
    assert attributes(provider, "a") is None


@pytest.mark.covers(191)
def test_the_role_by_which_a_run_was_let_in_stays_with_it(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", by="first", authenticated_user="ann", authenticated_roles='["admin"]')

    outcome = commit_one(provider, AssumeRole(claimed.lease, "admin"))
    again = reclaim(provider, claimed.lease, by="second")

    assert outcome == Recorded()
    assert row_of(provider, "a").assumed_role == "admin"
    assert (again.authenticated_user, again.authenticated_roles, again.assumed_role) == ("ann", '["admin"]', "admin")
