"""A reader finds what it asks for, many at once, in a known order and in pages."""

from __future__ import annotations

from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.filters import ExecutorQuery, ListFilter, Scope
from durust.model.status import Status
from durust.model.writes import DrainExecutor, Existing, Recorded, Retire
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    NAME,
    QUEUE,
    commit,
    executor,
    finish,
    hand_back,
    history,
    instant,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    record_sleep,
    record_step,
    row_of,
    start,
)
from tests.conformance.conftest import SHARED, Rewrite, open_provider


def ids(provider: StateProvider, **fields: Any) -> list[str]:
    """List and return the ids."""
    return [row.workflow_id for row in provider.workflows(ListFilter(**fields))]


def test_histories_of_many_are_read_at_once(provider: StateProvider) -> None:
    runs = [make_claimed(provider, name) for name in "abc"]
    commit(provider, *(record_step(runs[number], place) for number in range(3) for place in range(1, number + 1)))

    found = provider.history(["a", "b", "c", "unknown"])

    assert [len(found.get(name, ())) for name in ("a", "b", "c", "unknown")] == [0, 1, 2, 0]


def test_nobodys_history_is_empty(provider: StateProvider) -> None:
    assert provider.history([]) == {}


def test_a_history_comes_in_the_order_of_completion_then_of_place(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    times = {1: 30, 2: 10, 3: 20, 4: 10, 5: 30}
    commit(provider, *(record_step(claimed, place, completed_at_ms=at) for place, at in reversed(times.items())))
    commit(provider, record_sleep(claimed, 6))

    assert [step.place for step in history(provider, "a")] == [2, 4, 3, 1, 5, 6]


@pytest.fixture
def population(provider: StateProvider) -> StateProvider:
    """Enter rows that differ in everything that a filter may ask for; their ids sort as they were made."""
    make_enqueued(provider, "a1", name="ship", queue="one", app_version="v1")
    make_enqueued(provider, "a2", name="bill", queue="two", app_version="v2")
    make_enqueued(provider, "b1", name="ship", queue="two", app_name="other", delay_seconds=600)
    claimed = make_claimed(provider, "b2", by="first")
    failed = make_claimed(provider, "c%", by="second")
    commit(provider, finish(failed, Status.ERROR, output='"bad"'))
    make_started(provider, "c_1", by="second")
    assert claimed.lease.executor_id == "first"
    return provider


ALL = ["a1", "a2", "b1", "b2", "c%", "c_1"]


@pytest.mark.covers(169)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"workflow_ids": ["b1", "a1", "unknown"]}, ["a1", "b1"]),
        ({"workflow_ids": []}, []),
        ({"workflow_ids": ["a1", "a1"]}, ["a1"]),
        ({"names": ["bill"]}, ["a2"]),
        ({"names": ("ship", "bill")}, ALL),
        ({"statuses": [Status.ENQUEUED]}, ["a1", "a2"]),
        ({"statuses": [Status.DELAYED, Status.ERROR]}, ["b1", "c%"]),
        ({"statuses": []}, []),
        ({"statuses": [Status.PENDING]}, ["b2", "c_1"]),
        ({"statuses": [Status.PENDING], "executor_ids": ["first"]}, ["b2"]),
        ({"statuses": [Status.PENDING], "workflow_ids": ["a1", "b2"]}, ["b2"]),
        ({"queues": ["two"]}, ["a2", "b1"]),
        ({"executor_ids": ["second"]}, ["c%", "c_1"]),
        ({"executor_ids": ["first", "second"]}, ["b2", "c%", "c_1"]),
        ({"app_names": ["other"]}, ["b1"]),
        ({"app_names": [APP, "other"]}, ALL),
        ({"app_versions": "v2"}, ["a2"]),
        ({"versions_not": ["v1", "v3"]}, ["a2"]),
        ({"versions_not": []}, ["a1", "a2", "b2", "c%"]),
        ({"id_prefix": "a"}, ["a1", "a2"]),
        ({"id_prefix": "c_"}, ["c_1"]),
        ({"id_prefix": "c%"}, ["c%"]),
        ({"id_prefix": "A"}, []),
        ({"id_prefix": ""}, ALL),
        ({"names": ["ship"], "queues": ["two"], "statuses": [Status.DELAYED]}, ["b1"]),
        ({"names": ["bill"], "queues": ["one"]}, []),
        ({"workflow_ids": ["a1", "a2"], "names": ["bill"]}, ["a2"]),
        ({"newest_first": True}, ALL[::-1]),
        ({"workflow_ids": ["a1", "b1"], "newest_first": True}, ["b1", "a1"]),
        ({"limit": 2}, ["a1", "a2"]),
        ({"limit": 2, "offset": 2}, ["b1", "b2"]),
        ({"limit": 2, "offset": 5}, ["c_1"]),
        ({"limit": 2, "offset": 9}, []),
        ({"limit": 2, "offset": 1, "newest_first": True}, ["c%", "b2"]),
        ({"workflow_ids": ["a1", "a2", "b1"], "limit": 1, "offset": 1}, ["a2"]),
    ],
    ids=str,
)
def test_a_list_holds_what_matches_every_field(
    population: StateProvider, query: dict[str, Any], expected: list[str]
) -> None:
    assert ids(population, **query) == expected


@pytest.mark.covers(190)
def test_a_list_of_an_application_holds_what_nobody_names_where_the_workflow_is_known(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    for name in ("own", "others", "nobody's", "nobody's unknown"):
        make_enqueued(provider, name, name="bill" if "unknown" in name else NAME)
    rewrite("others", application_name="other")
    for name in ("nobody's", "nobody's unknown"):
        rewrite(name, application_name=None)

    found = ids(provider, scope=Scope(APP, (NAME,)))

    assert sorted(found) == ["nobody's", "own"]


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_text_that_no_database_holds_cannot_be_asked_for(provider: StateProvider) -> None:
    with pytest.raises(InvalidArgument, match="surrogate"):
        provider.workflows(ListFilter(workflow_ids=["\ud800"]))


@pytest.mark.covers(170)
@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("status", ["OF_TOMORROW", None])
def test_a_state_that_is_unknown_here_hides_no_other_row(
    provider: StateProvider, rewrite: Rewrite, status: str | None
) -> None:
    for name in "ab":
        make_enqueued(provider, name)
    rewrite("a", status=status)

    listed = provider.workflows(ListFilter())
    outcomes = commit(provider, start("a"), start("c"))

    assert [(row.workflow_id, row.status, row.status.is_terminal) for row in listed] == [
        ("a", status or "", False),
        ("b", Status.ENQUEUED, False),
    ]
    assert [type(outcome) for outcome in outcomes] == [Existing, Recorded]


@pytest.mark.covers(169)
def test_a_list_may_be_cut_by_the_time_of_creation(provider: StateProvider) -> None:
    made = [make_enqueued(provider) for _ in range(5)]
    times = [row_of(provider, name).created_at_ms for name in made]

    found = ids(provider, created_from=instant(times[1]), created_before=instant(times[4]))

    assert found == [name for name, time in zip(made, times, strict=True) if times[1] <= time < times[4]]
    assert ids(provider, created_before=instant(times[0])) == []
    assert ids(provider, created_from=instant(times[4] + 1)) == []


@pytest.mark.covers(169)
@pytest.mark.parametrize("ended", [True, False])
def test_values_are_loaded_only_where_they_are_asked_for(provider: StateProvider, *, ended: bool) -> None:
    claimed = make_claimed(provider, "a", inputs="[1]")
    if ended:
        commit(provider, finish(claimed, output='"it"'))

    [plain] = provider.workflows(ListFilter())
    [inputs] = provider.workflows(ListFilter(load_input=True))
    [outputs] = provider.workflows(ListFilter(load_output=True))

    assert (plain.inputs, plain.output, plain.error) == (None, None, None)
    assert (inputs.inputs, inputs.output, inputs.error) == ("[1]", None, None)
    assert (outputs.inputs, outputs.output, outputs.error) == (None, '"it"' if ended else None, None)


@pytest.mark.covers(169)
def test_pages_hold_every_row_once(provider: StateProvider) -> None:
    made = [make_enqueued(provider) for _ in range(11)]

    pages = [ids(provider, limit=4, offset=offset) for offset in (0, 4, 8)]

    assert [name for page in pages for name in page] == made


def test_executors_are_found_by_what_is_asked(provider: StateProvider) -> None:
    make_executor(provider, "a", supervisor="boss", boot_id="this")
    make_executor(provider, "b", supervisor="boss", boot_id="other")
    make_executor(provider, "c", boot_id="this")
    make_executor(provider, "d", boot_id="this")
    commit(provider, DrainExecutor("c"), Retire(("d",), "killed"))

    def found(**fields: Any) -> list[str]:
        return sorted(row.executor_id for row in provider.executors(ExecutorQuery(**fields)))

    assert found() == ["a", "b", "c"]
    assert found(executor_ids=("a", "d", "unknown")) == ["a"]
    assert found(executor_ids=()) == []
    assert found(boot_id="this") == ["a", "c"]
    assert found(supervisor_id="boss", boot_id="this") == ["a"]
    assert found(states=("DEAD",)) == ["d"]
    assert found(states=("DRAINING", "DEAD")) == ["c", "d"]


def test_a_lapsed_lease_has_less_than_nothing_left(provider: StateProvider) -> None:
    make_executor(provider, "first")
    assert executor(provider, "first").lease_seconds_left > 0

    lapse(provider, "first")

    assert executor(provider, "first").lease_seconds_left < 0


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_what_was_written_outlives_the_provider(url: str) -> None:
    first = open_provider(url)
    first.migrate()
    make_enqueued(first, "a")
    first.close()
    first.close()

    second = open_provider(url)

    second.check()
    assert ids(second, queues=[QUEUE]) == ["a"]
    second.close()


def test_a_provider_names_itself(provider: StateProvider) -> None:
    assert provider.name.split(":")[0] in {"memory", "sqlite", "postgresql"}


def test_a_run_that_was_handed_back_has_no_executor_to_find_it_by(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a", by="first")
    assert ids(provider, executor_ids=["first"]) == ["a"]

    commit(provider, hand_back(claimed))

    assert ids(provider, executor_ids=["first"]) == []
