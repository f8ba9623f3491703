"""A list holds exactly what its filter means, on every provider alike, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    cancel,
    commit,
    finish,
    instant,
    make_claimed,
    make_enqueued,
    make_started,
    row_of,
    start,
)
from tests.conformance.conftest import Rewrite

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def ids(provider: StateProvider, **fields: Any) -> list[str]:
    """List and return the ids."""
    return [row.workflow_id for row in provider.workflows(ListFilter(**fields))]


@pytest.fixture
def population(provider: StateProvider, rewrite: Rewrite) -> StateProvider:
    """Enter rows that differ in everything that a filter may ask for; their ids sort as they were made."""
    deadline_ms = (FAR - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    make_enqueued(provider, "a1", queue="one", dedup_id="d", partition_key="p", attributes='{"size":1}')
    make_enqueued(
        provider, "a2", queue="two", schedule_name="nightly", authenticated_user="ann", app_version="one", priority=10
    )
    make_enqueued(provider, "b1", parent_id="a1", authenticated_user="bob", deadline_ms=deadline_ms, app_version="two")
    make_enqueued(provider, "b2", parent_id="a2", attributes='{"size":2,"tags":["x","y"]}', priority=1)
    make_started(provider, "c1")
    commit(provider, finish(make_claimed(provider, "c2")))
    rewrite("c1", forked_from="a1")
    rewrite("a1", was_forked_from=True)
    return provider


ALL = ["a1", "a2", "b1", "b2", "c1", "c2"]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"workflow_ids": "a1"}, ["a1"]),
    ({"statuses": "SUCCESS"}, ["c2"]),
    ({"statuses": Status.PENDING}, ["c1"]),
    ({"statuses": ["SUCCESS", "PENDING"]}, ["c1", "c2"]),
    ({"queues": "one"}, ["a1"]),
    ({"is_queued": True}, ["a1", "a2", "b1", "b2"]),
    ({"app_versions": "one"}, ["a2"]),
    ({"app_versions": ["one", "two"]}, ["a2", "b1"]),
    ({"id_prefix": ["a", "b2"]}, ["a1", "a2", "b2"]),
    ({"id_prefix": []}, []),
    ({"authenticated_users": "ann"}, ["a2"]),
    ({"authenticated_users": ["ann", "bob"]}, ["a2", "b1"]),
    ({"parent_ids": "a1"}, ["b1"]),
    ({"parent_ids": ["a1", "a2", "a1"]}, ["b1", "b2"]),
    ({"parent_ids": []}, []),
    ({"parent_ids": ["a1", "a2"], "workflow_ids": ["b2", "c1"]}, ["b2"]),
    ({"has_parent": True}, ["b1", "b2"]),
    ({"has_parent": False}, ["a1", "a2", "c1", "c2"]),
    ({"forked_from": "a1"}, ["c1"]),
    ({"forked_from": ["a1", "a2"]}, ["c1"]),
    ({"was_forked_from": True}, ["a1"]),
    ({"was_forked_from": False}, ALL[1:]),
    ({"dedup_ids": "d"}, ["a1"]),
    ({"dedup_ids": ["d", "e"]}, ["a1"]),
    ({"schedule_names": "nightly"}, ["a2"]),
    ({"schedule_names": ["hourly"]}, []),
    ({"partition_keys": "p"}, ["a1"]),
    ({"partition_keys": ["p", "q"]}, ["a1"]),
    ({"priorities": 1}, ["b2"]),
    ({"priorities": [10, 1, 10]}, ["a2", "b2"]),
    ({"priorities": [0], "queues": "one"}, ["a1"]),
    ({"priorities": []}, []),
    ({"attributes": {"size": 2}}, ["b2"]),
    ({"attributes": {}}, ["a1", "b2"]),
    ({"attributes": {"tags": ["y"]}, "has_parent": True}, ["b2"]),
    ({"deadline_from": FAR}, ["b1"]),
    ({"deadline_before": FAR}, []),
    ({"deadline_from": FAR - timedelta(days=1), "deadline_before": FAR + timedelta(days=1)}, ["b1"]),
    ({"completed_from": datetime(2000, 1, 1, tzinfo=UTC)}, ["c2"]),
    ({"completed_before": datetime(2000, 1, 1, tzinfo=UTC)}, []),
    ({"started_from": datetime(2000, 1, 1, tzinfo=UTC)}, ["c2"]),
    ({"started_before": FAR}, ["c2"]),
    ({"has_parent": True, "authenticated_users": "bob", "app_versions": ["two"], "is_queued": True}, ["b1"]),
    ({"has_parent": True, "authenticated_users": "ann"}, []),
]


@pytest.mark.covers(169)
def test_every_filter_means_the_same_rows_everywhere(population: StateProvider) -> None:
    found = [(query, ids(population, **query)) for query, _ in FILTERS]

    assert found == FILTERS


ATTRIBUTES = {
    "plain": '{"n":1,"s":"x","yes":true,"none":null,"half":0.5}',
    "nested": '{"o":{"a":1,"b":{"c":2}},"l":[1,[2,3],{"k":"v","w":1}]}',
    "foreign": "[1,2]",
    "without": None,
}


CONTAINED: list[tuple[dict[str, Any], list[str]]] = [
    ({"n": 1}, ["plain"]),
    ({"n": 1.0}, ["plain"]),
    ({"n": True}, []),
    ({"n": "1"}, []),
    ({"yes": True}, ["plain"]),
    ({"yes": 1}, []),
    ({"none": None}, ["plain"]),
    ({"half": 0.5, "s": "x"}, ["plain"]),
    ({"half": 0.5, "s": "y"}, []),
    ({"missing": None}, []),
    ({"o": {}}, ["nested"]),
    ({"o": {"b": {"c": 2}}}, ["nested"]),
    ({"o": {"c": 2}}, []),
    ({"l": [1]}, ["nested"]),
    ({"l": [[3], 1]}, ["nested"]),
    ({"l": [[3, 1]]}, []),
    ({"l": [{"w": 1}]}, ["nested"]),
    ({"l": 1}, []),
    ({"l": []}, ["nested"]),
    ({"o": []}, []),
    ({}, ["nested", "plain"]),
]


@pytest.mark.covers(192)
def test_attributes_are_compared_as_postgres_contains_them(provider: StateProvider) -> None:
    for name, attributes in ATTRIBUTES.items():
        make_enqueued(provider, name, attributes=attributes)

    found = [(wanted, sorted(ids(provider, attributes=wanted))) for wanted, _ in CONTAINED]

    assert found == CONTAINED


@pytest.mark.covers(169)
@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_neither_repeat_nor_hide_a_row_when_others_come_and_go(
    provider: StateProvider, *, newest_first: bool
) -> None:
    made = [make_enqueued(provider) for _ in range(9)]
    order = made[::-1] if newest_first else made
    seen: list[str] = []
    page: list[WorkflowRow] = []

    while page := provider.workflows(
        ListFilter(statuses="ENQUEUED", limit=2, newest_first=newest_first, after=page[-1] if page else None)
    ):
        seen += [row.workflow_id for row in page]
        # With an offset the first would let the next page begin too late, the second too early.
        commit(provider, cancel(page[0].workflow_id))
        if newest_first:
            make_enqueued(provider)

    assert seen == order


@pytest.mark.covers(169)
def test_rows_of_one_instant_are_paged_by_their_ids(provider: StateProvider) -> None:
    names = [f"w{number}" for number in range(7)]
    commit(provider, *(start(name) for name in reversed(names)))

    first = provider.workflows(ListFilter(limit=3))
    second = provider.workflows(ListFilter(limit=3, after=first[-1]))
    third = provider.workflows(ListFilter(limit=3, after=(second[-1].created_at_ms, second[-1].workflow_id)))
    pages = [[row.workflow_id for row in page] for page in (first, second, third)]

    assert pages == [names[:3], names[3:6], names[6:]]


@pytest.mark.covers(169)
def test_a_window_has_its_first_instant_and_not_its_last(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    at = instant(row_of(provider, "a").created_at_ms)
    tick = timedelta(microseconds=1)

    assert ids(provider, created_from=at) == ["a"]
    assert ids(provider, created_from=at + tick) == []
    assert ids(provider, created_before=at) == []
    assert ids(provider, created_before=at + tick) == ["a"]


@pytest.mark.covers(169)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"statuses": ["DONE"]}, "statuses='DONE'"),
        ({"statuses": "success"}, "statuses='success'"),
        ({"limit": -1}, "limit=-1"),
        ({"limit": 2**63}, "limit="),
        ({"limit": 1.5}, "limit=1.5"),
        ({"offset": -1}, "offset=-1"),
        ({"offset": True}, "offset=True"),
        ({"created_from": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001  that it is naive is the point
        ({"deadline_before": 17}, "deadline_before=17"),
        ({"names": 3}, "names=3"),
        ({"queues": ["a", None]}, "queues=None"),
        ({"has_parent": 1}, "has_parent=1"),
        ({"after": "w1"}, "after='w1'"),
        ({"attributes": ["a"]}, "attributes="),
        ({"attributes": {"a": float("nan")}}, "finite"),
        ({"priorities": [1, True]}, "priorities=True"),
        ({"priorities": "1"}, "priorities='1'"),
        ({"attributes": {1: "a"}}, "keys must be texts"),
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_meant_is_refused_by_its_name(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ListFilter(**fields)

    assert says in str(refused.value)
