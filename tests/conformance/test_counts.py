"""Workflows and steps are counted by what they have in common, alike on every provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.counts import CountQuery, StepQuery
from durust.model.filters import ListFilter, Scope
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    NAME,
    commit,
    finish,
    instant,
    make_claimed,
    make_enqueued,
    make_started,
    record_step,
    row_of,
)
from tests.conformance.conftest import Rewrite

HOUR_MS = 3_600_000


def counted(provider: StateProvider, *by: str, **fields: Any) -> list[tuple[Any, ...]]:
    """Count and return the number and what was counted by."""
    found = provider.counts(CountQuery(ListFilter(**fields), by))
    return [(row.count, *(getattr(row, name) for name in by)) for row in found]


@pytest.fixture
def population(provider: StateProvider) -> StateProvider:
    """Enter workflows of two names, on two queues, of two versions, in three states."""
    for number in range(3):
        make_enqueued(provider, f"a{number}", queue="one", app_version="v1")
    make_enqueued(provider, "b", name="bill", queue="two", app_version="v2", app_name="other")
    commit(provider, finish(make_claimed(provider, "c", by="first")))
    commit(provider, finish(make_claimed(provider, "d", by="first"), Status.ERROR))
    return provider


@pytest.mark.covers(172)
def test_workflows_are_counted_by_each_of_their_fields(population: StateProvider) -> None:
    assert counted(population, "status") == [(4, "ENQUEUED"), (1, "ERROR"), (1, "SUCCESS")]
    assert counted(population, "name") == [(5, "ship"), (1, "bill")]
    assert counted(population, "queue", queues=["one", "two"]) == [(3, "one"), (1, "two")]
    assert counted(population, "executor_id") == [(4, None), (2, "first")]
    assert counted(population, "app_name") == [(5, APP), (1, "other")]
    assert counted(population, "app_version", statuses="ENQUEUED") == [(3, "v1"), (1, "v2")]


@pytest.mark.covers(172)
def test_workflows_are_counted_by_several_fields_or_by_none(population: StateProvider) -> None:
    assert counted(population, "status", "name") == [
        (3, "ENQUEUED", "ship"),
        (1, "ENQUEUED", "bill"),
        (1, "ERROR", "ship"),
        (1, "SUCCESS", "ship"),
    ]
    assert counted(population) == [(6,)]
    assert counted(population, names="nobody's") == []


@pytest.mark.covers(172)
def test_a_filter_and_a_page_bound_what_is_counted(population: StateProvider) -> None:
    assert counted(population, "status", names="ship", id_prefix=["a", "d"]) == [(3, "ENQUEUED"), (1, "ERROR")]
    assert counted(population, "status", limit=1) == [(4, "ENQUEUED")]
    assert counted(population, "status", limit=1, offset=2) == [(1, "SUCCESS")]


@pytest.mark.covers(172)
def test_workflows_are_counted_by_the_time_of_their_creation(provider: StateProvider, rewrite: Rewrite) -> None:
    for number, at_ms in enumerate([10 * HOUR_MS, 11 * HOUR_MS - 1, 11 * HOUR_MS, 13 * HOUR_MS + 5]):
        make_enqueued(provider, f"w{number}")
        rewrite(f"w{number}", created_at=at_ms)

    found = provider.counts(CountQuery(ListFilter(), ("status",), HOUR_MS))

    assert [(row.bucket, row.status, row.count) for row in found] == [
        (instant(10 * HOUR_MS), "ENQUEUED", 2),
        (instant(11 * HOUR_MS), "ENQUEUED", 1),
        (instant(13 * HOUR_MS), "ENQUEUED", 1),
    ]


@pytest.mark.covers(172)
def test_how_long_they_took_stands_beside_what_has_ended(provider: StateProvider, rewrite: Rewrite) -> None:
    make_enqueued(provider, "waiting")
    for number, seconds in enumerate([2, 4, 9]):
        commit(provider, finish(make_claimed(provider, f"w{number}")))
        rewrite(f"w{number}", created_at=1_000_000)
        rewrite(f"w{number}", completed_at=1_000_000 + seconds * 1000)

    found = {row.status: row.seconds for row in provider.counts(CountQuery(ListFilter()))}

    done = found[Status.SUCCESS]
    assert done is not None
    assert (done.least, done.mean, done.most) == (2.0, 5.0, 9.0)
    assert found[Status.ENQUEUED] is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CountQuery(ListFilter(), ("colour",)), "by='colour'"),
        (lambda: CountQuery(ListFilter(), bucket_ms=0), "bucket=0"),
        (lambda: CountQuery(ListFilter(after=(1, "a"))), "after="),
        (lambda: StepQuery(limit=-1), "limit=-1"),
        (lambda: StepQuery(completed_from=3), "completed_from=3"),  # type: ignore[arg-type]  # that it is none
    ],
    ids=["a group", "a bucket", "a cursor", "a limit", "an instant"],
)
def test_a_count_that_cannot_be_meant_is_refused_by_its_name(make: Any, says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        make()

    assert says in str(refused.value)


@pytest.mark.covers(175)
def test_steps_are_counted_by_name_in_a_window_of_time(provider: StateProvider) -> None:
    first, second = make_claimed(provider, "a"), make_started(provider, "b", app_name="other")
    commit(
        provider,
        record_step(first, 1, name="charge", started_at_ms=1_000, completed_at_ms=2_000),
        record_step(first, 2, name="charge", started_at_ms=1_000, completed_at_ms=4_000, output=None, error='"no"'),
        record_step(first, 3, name="ship", started_at_ms=2_000, completed_at_ms=2_500),
        record_step(first, 4, name="ship", started_at_ms=2_000, completed_at_ms=9_000),
        record_step(second, 1, name="bill", started_at_ms=2_000, completed_at_ms=3_000),
    )

    def found(**fields: Any) -> list[tuple[Any, ...]]:
        return [(row.name, row.count, row.errors) for row in provider.step_counts(StepQuery(**fields))]

    assert found() == [("charge", 2, 1), ("ship", 2, 0), ("bill", 1, 0)]
    assert found(completed_from=instant(2_500), completed_before=instant(9_000)) == [
        ("bill", 1, 0),
        ("charge", 1, 1),
        ("ship", 1, 0),
    ]
    assert found(scope=Scope(APP, (NAME,)), names="charge") == [("charge", 2, 1)]
    assert found(scope=Scope("other", ())) == [("bill", 1, 0)]
    assert found(limit=1) == [("charge", 2, 1)]
    [charge] = provider.step_counts(StepQuery(names=("charge",)))
    assert charge.seconds is not None
    assert (charge.seconds.least, charge.seconds.mean, charge.seconds.most) == (1.0, 2.0, 3.0)


@pytest.mark.covers(175)
def test_workflows_that_ended_in_a_window_of_time_are_counted(provider: StateProvider) -> None:
    commit(provider, finish(make_claimed(provider, "a")), finish(make_claimed(provider, "b")))
    make_enqueued(provider, "c")
    at = instant(row_of(provider, "a").completed_at_ms or 0)

    assert counted(provider, "name", completed_from=at, completed_before=at + timedelta(hours=1)) == [(2, NAME)]
    assert counted(provider, "name", completed_before=at) == []
