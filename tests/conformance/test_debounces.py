"""Debounced starts that meet under one key lead to one run, with the last input, some time after the last of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from durust import clock
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    DebounceWorkflow,
    Duplicate,
    Existing,
    Recorded,
    Refused,
    StartWorkflow,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    NAME,
    QUEUE,
    TINY_SECONDS,
    commit,
    commit_one,
    debounce,
    finish,
    make_claimed,
    make_enqueued,
    make_executor,
    purge,
    row_of,
    start,
    sweep,
    want,
)
from tests.conformance.conftest import Rewrite
from tests.support.waiting import eventually

CALLERS, CALLS = 4, 10


def rows(provider: StateProvider) -> list[WorkflowRow]:
    return provider.workflows(ListFilter(load_input=True))


def overdue(provider: StateProvider, rewrite: Rewrite, workflow_id: str) -> None:
    """Let the time of a run come, without a sweep that notices."""
    rewrite(workflow_id, delay_until_epoch_ms=row_of(provider, workflow_id).created_at_ms - 1)


@pytest.mark.covers(153)
def test_the_first_call_waits_for_its_period(provider: StateProvider) -> None:
    outcome = commit_one(provider, debounce("a", period=90.5, inputs="[1]"))

    row = row_of(provider, "a")
    assert outcome == Recorded(workflow_id="a")
    assert (row.status, row.queue, row.dedup_id, row.inputs) == (Status.DELAYED, QUEUE, f"{NAME}-key", "[1]")
    assert row.delay_until_ms == row.created_at_ms + 90_500


@pytest.mark.covers(153)
def test_a_later_call_replaces_the_input_and_waits_anew(provider: StateProvider) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    first = row_of(provider, "a")

    outcome = commit_one(provider, debounce("b", period=900.0, inputs="[2]"))

    row = row_of(provider, "a")
    assert outcome == Recorded(workflow_id="a")
    assert [each.workflow_id for each in rows(provider)] == ["a"]
    assert (row.status, row.inputs, row.created_at_ms) == (Status.DELAYED, "[2]", first.created_at_ms)
    assert row.delay_until_ms == row.updated_at_ms + 900_000


@pytest.mark.covers(153)
def test_no_call_waits_past_the_limit_of_the_first_one(provider: StateProvider) -> None:
    commit(provider, debounce("a", period=60.0, limit=100.0))
    first = row_of(provider, "a")

    commit(provider, debounce(period=99.0, limit=5.0))
    commit(provider, debounce(period=500.0, limit=5.0))

    assert row_of(provider, "a").delay_until_ms == first.created_at_ms + 100_000


def test_a_limit_below_the_period_ends_the_first_wait(provider: StateProvider) -> None:
    commit(provider, debounce("a", period=60.0, limit=20.0))

    row = row_of(provider, "a")
    assert row.delay_until_ms == row.created_at_ms + 20_000


@pytest.mark.covers(153)
def test_different_keys_and_queues_wait_apart(provider: StateProvider) -> None:
    outcomes = commit(provider, debounce("a", key="1"), debounce("b", key="2"), debounce("c", key="1", queue="other"))

    assert outcomes == [Recorded(workflow_id=name) for name in "abc"]
    assert {row.status for row in rows(provider)} == {Status.DELAYED}


def test_a_debounced_start_without_a_queue_waits_on_the_internal_one(provider: StateProvider) -> None:
    outcomes = [commit_one(provider, debounce(name, queue=None)) for name in "ab"]

    assert outcomes == [Recorded(workflow_id="a")] * 2
    assert row_of(provider, "a").queue == INTERNAL_QUEUE


def everything(name: str, number: int) -> dict[str, Any]:
    """Return a value for each field of a start that a debounced one may say, made from a number."""
    return {
        "inputs": f"[{number}]",
        "serialization": f"format {number}",
        "priority": number,
        "timeout_ms": number * 1000,
        "deadline_ms": number * 1_000_000,
        "partition_key": f"partition {number}",
        "schedule_name": f"schedule {number}",
        "parent_id": f"parent {number}",
        "authenticated_user": f"user {number}",
        "authenticated_roles": f'["role {number}"]',
        "attributes": f'{{"number": {number}}}',
        "app_version": f"v{number}",
        "creator": f"{name} {number}",
    }


def told(row: WorkflowRow) -> dict[str, Any]:
    """Return what a row keeps of its start."""
    own = {"workflow_id", "status", "dedup_id", "creator", "created_at_ms", "updated_at_ms", "delay_until_ms"}
    return {name: value for name, value in asdict(row).items() if name not in own}


def test_a_debounced_start_keeps_what_any_start_keeps(provider: StateProvider) -> None:
    # A field that a start gets belongs into a debounced one, and into its bounce.
    fixed = {"workflow_id", "name", "app_name", "queue", "dedup_id", "delay_seconds", "lease"}
    assert {spec.name for spec in fields(StartWorkflow)} - fixed == set(everything("", 1))
    commit(provider, start("plain", **everything("plain", 7)))

    commit(provider, debounce("first", key="1", **everything("first", 7)))
    commit(provider, debounce("second", key="2", **everything("second", 1)))
    commit(provider, debounce(key="2", **everything("third", 7)))

    expected = told(row_of(provider, "plain"))
    assert told(row_of(provider, "first")) == expected
    assert told(row_of(provider, "second")) == expected


@pytest.mark.covers(154)
def test_once_queued_the_key_is_free_and_the_next_call_begins_anew(provider: StateProvider, rewrite: Rewrite) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    overdue(provider, rewrite, "a")
    assert sweep(provider).due == 1

    outcome = commit_one(provider, debounce("b", inputs="[2]"))

    first = row_of(provider, "a")
    assert outcome == Recorded(workflow_id="b")
    assert (first.status, first.dedup_id, first.inputs) == (Status.ENQUEUED, None, "[1]")
    assert row_of(provider, "b").status is Status.DELAYED


def test_what_is_due_is_not_pushed_though_no_sweep_came_by(provider: StateProvider, rewrite: Rewrite) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    overdue(provider, rewrite, "a")

    outcome = commit_one(provider, debounce("b", inputs="[2]"))

    first, second = row_of(provider, "a"), row_of(provider, "b")
    assert outcome == Recorded(workflow_id="b")
    assert (first.status, first.dedup_id, first.inputs, first.delay_until_ms) == (Status.ENQUEUED, None, "[1]", None)
    assert (second.status, second.inputs) == (Status.DELAYED, "[2]")


def test_a_run_that_waits_for_the_last_input_runs_with_it(provider: StateProvider) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    commit(provider, debounce(period=TINY_SECONDS, inputs="[2]"))
    eventually(lambda: sweep(provider).due)

    [claimed] = provider.claim(want(make_executor(provider, "first")))

    assert (claimed.lease.workflow_id, claimed.inputs) == ("a", "[2]")
    assert commit_one(provider, finish(claimed)) == Recorded()


def test_a_run_that_was_purged_leaves_its_key_to_a_new_one(provider: StateProvider) -> None:
    commit(provider, debounce("a", period=TINY_SECONDS))
    eventually(lambda: sweep(provider).due)
    [claimed] = provider.claim(want(make_executor(provider, "first")))
    commit(provider, finish(claimed))
    assert eventually(lambda: purge(provider, age=0.0).workflows) == 1

    assert commit_one(provider, debounce("b")) == Recorded(workflow_id="b")


@pytest.mark.covers(155)
def test_a_repeated_call_pushes_the_time_once(provider: StateProvider) -> None:
    commit(provider, debounce("a", inputs="[1]"))
    write = debounce("b", period=900.0, inputs="[2]")
    commit(provider, write)
    before = row_of(provider, "a")
    eventually(lambda: clock.now_ms() > before.updated_at_ms)

    outcome = commit_one(provider, write)

    assert outcome == Recorded(workflow_id="a")
    assert row_of(provider, "a") == before


@pytest.mark.covers(155)
def test_a_repeated_batch_pushes_the_time_once(provider: StateProvider) -> None:
    batch = [debounce(name, inputs=f'["{name}"]') for name in "abc"]
    outcomes = commit(provider, *batch)
    before = row_of(provider, "a")
    eventually(lambda: clock.now_ms() > before.updated_at_ms)

    again = commit(provider, *batch)

    assert outcomes == again == [Recorded(workflow_id="a")] * 3
    assert before.inputs == '["c"]'
    assert rows(provider) == [replace(before, output=None, error=None)]


@pytest.mark.covers(155)
@pytest.mark.parametrize("is_bounce", [False, True])
def test_a_repeated_call_starts_no_second_run_when_the_first_was_queued(
    provider: StateProvider, rewrite: Rewrite, *, is_bounce: bool
) -> None:
    if is_bounce:
        commit(provider, debounce("a", inputs="[1]"))
    write = debounce("b" if is_bounce else "a", inputs="[2]")
    commit(provider, write)
    overdue(provider, rewrite, "a")
    sweep(provider)

    outcome = commit_one(provider, write)

    assert outcome == Recorded(workflow_id="a")
    assert [(row.workflow_id, row.inputs) for row in rows(provider)] == [("a", "[2]")]


def test_the_limit_and_the_id_of_a_batch_are_those_of_its_first_call(provider: StateProvider) -> None:
    outcomes = commit(provider, debounce("a", period=1.0, limit=100.0), debounce("b", period=900.0, inputs="[2]"))

    row = row_of(provider, "a")
    assert outcomes == [Recorded(workflow_id="a")] * 2
    assert (row.inputs, row.delay_until_ms) == ("[2]", row.created_at_ms + 100_000)


def test_an_id_that_is_taken_is_answered_to_whom_asked_for_it(provider: StateProvider) -> None:
    make_enqueued(provider, "a", inputs="[0]")

    taken, begun, joined = commit(provider, debounce("a", inputs="[1]"), debounce("b"), debounce("c", inputs="[3]"))

    assert taken == Existing(replace(row_of(provider, "a"), inputs=None))
    assert row_of(provider, "a").inputs == "[0]"
    assert begun == joined == Recorded(workflow_id="b")
    assert row_of(provider, "b").inputs == "[3]"


def test_one_id_under_two_keys_starts_one_of_them(provider: StateProvider) -> None:
    first, second = commit(provider, debounce("a", key="1", inputs="[1]"), debounce("a", key="2", inputs="[2]"))

    assert (first, isinstance(second, Existing)) == (Recorded(workflow_id="a"), True)
    assert [(row.dedup_id, row.inputs) for row in rows(provider)] == [(f"{NAME}-1", "[1]")]


@pytest.mark.covers(156)
@pytest.mark.parametrize(
    "holder",
    [
        start("holder", dedup_id=f"{NAME}-key"),
        start("holder", dedup_id=f"{NAME}-key", delay_seconds=600),
        debounce("holder", name="another"),
        debounce("holder", app_name="another"),
    ],
    ids=["queued", "delayed", "another workflow", "another application"],
)
def test_a_key_that_something_else_holds_is_answered_as_a_duplicate(
    provider: StateProvider, holder: StartWorkflow | DebounceWorkflow
) -> None:
    commit(provider, holder)
    before = row_of(provider, "holder")

    outcomes = commit(provider, debounce("a"), debounce("b"))

    assert outcomes == [Duplicate("holder")] * 2
    assert row_of(provider, "holder") == before
    assert len(rows(provider)) == 1


def test_a_holder_that_ends_in_the_same_batch_holds_the_key_still(provider: StateProvider) -> None:
    run = make_claimed(provider, "holder", dedup_id=f"{NAME}-key")
    queue = row_of(provider, "holder").queue

    duplicate, ended = commit(provider, debounce("a", queue=queue), finish(run))

    assert (duplicate, ended) == (Duplicate("holder"), Recorded())


def test_a_start_with_the_key_of_a_waiting_run_is_a_duplicate(provider: StateProvider) -> None:
    commit(provider, debounce("a"))

    assert commit_one(provider, start("b", dedup_id=f"{NAME}-key")) == Duplicate("a")


def test_a_row_without_an_application_is_joined_and_then_belongs_to_this_one(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    commit(provider, debounce("a"))
    rewrite("a", application_name=None)

    outcome = commit_one(provider, debounce("b"))

    assert outcome == Recorded(workflow_id="a")
    assert row_of(provider, "a").app_name == start().app_name


def test_a_debounced_start_without_a_key_is_refused(provider: StateProvider) -> None:
    refused, stands = commit(provider, debounce("a", dedup_id=None), debounce("b"))

    assert isinstance(refused, Refused)
    assert stands == Recorded(workflow_id="b")


def test_calls_of_many_threads_lead_to_one_run_with_a_last_input(provider: StateProvider) -> None:
    def call(caller: int) -> set[str | None]:
        with closing(provider.writer()) as writer:
            answers = set()
            for number in range(CALLS):
                [outcome] = writer.commit([debounce(inputs=f"[{caller}, {number}]")])
                assert isinstance(outcome, Recorded)
                answers.add(outcome.workflow_id)
            return answers

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = set().union(*pool.map(call, range(CALLERS)))

    [row] = rows(provider)
    assert answers == {row.workflow_id}
    assert row.inputs in {f"[{caller}, {CALLS - 1}]" for caller in range(CALLERS)}
