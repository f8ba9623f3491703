"""A fork begins with what its source recorded before a place, and with nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust import clock
from durust.model.records import Checkpoint, Lease
from durust.model.status import Status
from durust.model.waits import STREAM_CLOSED
from durust.model.writes import INTERNAL_QUEUE, Existing, ForkWorkflow, Missing, Recorded
from durust.storage.provider import StateProvider
from tests.conformance.belongings import Belongings
from tests.conformance.builders import (
    VERSION,
    cancel,
    commit,
    commit_one,
    finish,
    fork,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    record_sleep,
    record_step,
    row_of,
    start,
    want,
)

PLACES = 4


def make_source(provider: StateProvider, *, ends: bool = True, **fields: Any) -> list[Checkpoint]:
    """Run a workflow of four steps, to its end unless it is to go on; return its records."""
    claimed = make_claimed(provider, "a", **fields)
    for place in range(1, PLACES + 1):
        commit(provider, record_step(claimed, place, after=place - 1 or None))
    if ends:
        commit(provider, finish(claimed, after=PLACES))
    return history(provider, "a")


@pytest.mark.covers(132)
@pytest.mark.protocol("4.fork")
@pytest.mark.parametrize("place", range(1, PLACES + 2))
def test_a_fork_has_the_records_before_its_place(provider: StateProvider, place: int) -> None:
    source = make_source(provider)

    outcome = commit_one(provider, fork("a", "b", place))

    assert outcome == Recorded()
    assert history(provider, "b") == source[: place - 1]
    assert history(provider, "a") == source


@pytest.mark.covers(133, 182)
def test_a_fork_is_queued_anew_and_keeps_what_its_source_is(provider: StateProvider) -> None:
    make_source(
        provider,
        priority=5,
        timeout_ms=3_600_000,
        partition_key="p",
        schedule_name="nightly",
        parent_id="parent",
        authenticated_user="ann",
        authenticated_roles='["admin"]',
        attributes='{"city": "Bern"}',
        serialization="py_pickle",
    )
    source = row_of(provider, "a")

    commit(provider, fork("a", "b", 3))

    made = row_of(provider, "b")
    assert made == replace(
        source,
        workflow_id="b",
        status=Status.ENQUEUED,
        queue=INTERNAL_QUEUE,
        priority=0,
        executor_id=None,
        token=None,
        creator=made.creator,
        attempts=0,
        created_at_ms=made.created_at_ms,
        updated_at_ms=made.created_at_ms,
        started_at_ms=None,
        completed_at_ms=None,
        timeout_ms=None,
        deadline_ms=None,
        partition_key=None,
        schedule_name=None,
        parent_id=None,
        forked_from="a",
        output=None,
        error=None,
    )
    assert (made.app_version, made.created_at_ms >= source.created_at_ms) == (VERSION, True)
    assert row_of(provider, "a") == replace(source, was_forked_from=True)


@pytest.mark.covers(133)
def test_a_fork_goes_where_it_is_told_to(provider: StateProvider) -> None:
    make_source(provider)

    commit(provider, fork("a", "b", 2, app_version="v2", queue="other", partition_key="q", timeout_ms=600_000))

    made = row_of(provider, "b")
    assert (made.app_version, made.queue, made.partition_key, made.timeout_ms) == ("v2", "other", "q", 600_000)
    [claimed] = provider.claim(want(make_executor(provider, "second"), "other", versions=["v2"]))
    assert (claimed.lease.workflow_id, claimed.attempts, claimed.left_ms) == ("b", 1, 600_000)
    assert [record.place for record in claimed.history] == [1]


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.ERROR, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED])
def test_the_result_of_the_source_is_not_that_of_its_fork(provider: StateProvider, status: Status) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed), finish(claimed, status))

    commit(provider, fork("a", "b", 2))

    made = row_of(provider, "b")
    assert (made.status, made.output, made.error, made.inputs) == (Status.ENQUEUED, None, None, '["a"]')


@pytest.mark.parametrize("what", ["running", "parked", "cancelled", "queued", "delayed"])
def test_what_has_not_ended_can_be_forked_and_goes_on(provider: StateProvider, what: str) -> None:
    claimed = None
    if what in {"queued", "delayed"}:
        make_enqueued(provider, "a", dedup_id="once", delay_seconds=600 if what == "delayed" else 0)
    else:
        claimed = make_claimed(provider, "a", dedup_id="once")
        commit(provider, record_step(claimed))
        commit(provider, *([park(claimed)] if what == "parked" else [cancel("a")] if what == "cancelled" else []))
    before = row_of(provider, "a")

    commit(provider, fork("a", "b", 2))

    assert row_of(provider, "a") == replace(before, was_forked_from=True)
    made = row_of(provider, "b")
    assert (made.status, made.dedup_id, made.delay_until_ms) == (Status.ENQUEUED, None, None)
    assert len(history(provider, "b")) == (0 if what in {"queued", "delayed"} else 1)
    if what == "running" and claimed is not None:
        assert commit_one(provider, record_step(claimed, 2, after=1)) == Recorded()


def test_a_repeated_fork_changes_nothing(provider: StateProvider) -> None:
    make_source(provider)
    write = fork("a", "b", 3)
    commit(provider, write)
    [claimed] = provider.claim(want(make_executor(provider, "second"), INTERNAL_QUEUE))
    commit(provider, record_step(claimed, 3, after=2, name="another"))
    row, steps = row_of(provider, "b"), history(provider, "b")

    outcomes = commit(provider, write, write)

    assert outcomes == [Recorded(), Recorded()]
    assert (row_of(provider, "b"), history(provider, "b")) == (row, steps)


def test_an_id_that_is_taken_is_answered_with_its_row(provider: StateProvider) -> None:
    make_source(provider)
    make_enqueued(provider, "b")
    standing = replace(row_of(provider, "b"), inputs=None)

    outcomes = commit(provider, fork("a", "b", 2), fork("a", "a", 2), fork("nobody", "b", 2))

    assert outcomes[0] == outcomes[2] == Existing(standing)
    assert isinstance(outcomes[1], Existing)
    assert history(provider, "b") == []
    assert not row_of(provider, "a").was_forked_from


def test_a_source_that_is_not_there_is_missing(provider: StateProvider) -> None:
    make_source(provider)

    outcomes = commit(provider, fork("nobody", "b", 1), fork("a", "c", 2))

    assert outcomes == [Missing(), Recorded()]


@pytest.mark.covers(130)
def test_forks_of_one_batch_are_each_made_for_themselves(provider: StateProvider) -> None:
    source = make_source(provider)

    outcomes = commit(provider, *(fork("a", f"fork {place}", place) for place in (3, 1, 4)), fork("fork 3", "last", 2))

    assert outcomes[:3] == [Recorded()] * 3
    assert [len(history(provider, f"fork {place}")) for place in (3, 1, 4)] == [2, 0, 3]
    assert outcomes[3] == Recorded()
    assert len(history(provider, "last")) == 1
    assert history(provider, "a") == source


def test_a_fork_of_a_fork_begins_with_what_the_first_one_recorded_in_its_life(provider: StateProvider) -> None:
    source = make_source(provider)
    commit(provider, fork("a", "b", 3))
    [claimed] = provider.claim(want(make_executor(provider, "second"), INTERNAL_QUEUE))
    commit(provider, record_step(claimed, 3, after=2, completed_at_ms=9_000))

    commit(provider, fork("b", "c", 4))

    assert history(provider, "c") == [*source[:2], *history(provider, "b")[2:]]
    assert (row_of(provider, "c").forked_from, row_of(provider, "b").was_forked_from) == ("b", True)


def test_a_direct_start_leaves_its_forks_the_time_at_which_it_began(provider: StateProvider) -> None:
    lease = Lease("a", make_executor(provider, "first"), clock.token())
    commit(provider, start(lease=lease))
    commit(provider, record_step(lease), record_sleep(lease, 2))
    created_at_ms = row_of(provider, "a").created_at_ms

    commit(provider, fork("a", "b", 3))
    commit(provider, fork("b", "c", 3))

    claims = {record.claim for workflow in ("b", "c") for record in history(provider, workflow)}
    assert claims == {f"{created_at_ms * 1000:016x}{lease.token[16:]}"}
    assert {record.claim for record in history(provider, "a")} == {lease.token}


@pytest.mark.covers(112)
def test_events_go_along_as_they_stood_before_the_place(provider: StateProvider, belongings: Belongings) -> None:
    make_source(provider, ends=False)
    belongings.event("a", 1, "stage", '"begun"')
    belongings.event("a", 2, "stage", '"packed"')
    belongings.event("a", 2, "weight", "3", serialization="py_pickle")
    belongings.event("a", 3, "stage", '"sent"')

    commit(provider, fork("a", "b", 3), fork("a", "c", 2), fork("a", "d", 1))

    assert belongings.events("b") == {"stage": ('"packed"', "portable_json"), "weight": ("3", "py_pickle")}
    assert belongings.past_events("b") == belongings.past_events("a")[:3]
    assert belongings.events("c") == {"stage": ('"begun"', "portable_json")}
    assert belongings.events("d") == {}
    assert belongings.events("a")["stage"] == ('"sent"', "portable_json")


def test_an_event_or_entry_whose_step_is_not_recorded_stays_behind(
    provider: StateProvider, belongings: Belongings
) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed))
    belongings.event("a", 2, "stage", '"half"')
    belongings.append("a", 2, "log", '"half"', offset=0)

    commit(provider, fork("a", "b", 4))

    assert (belongings.events("b"), belongings.past_events("b"), belongings.entries("b", "log")) == ({}, [], [])


def test_streams_go_along_up_to_the_place_and_are_open_again(provider: StateProvider, belongings: Belongings) -> None:
    make_source(provider)
    for offset, (place, text) in enumerate(((1, '"one"'), (3, '"three"'), (2, '"two"'), (4, STREAM_CLOSED))):
        belongings.append("a", place, "log", text, offset=offset)
    belongings.append("a", 1, "closed", STREAM_CLOSED, offset=0)

    commit(provider, fork("a", "b", 3))

    assert belongings.entries("b", "log") == [(0, '"one"'), (1, '"two"')]
    assert belongings.entries("b", "closed") == [(0, STREAM_CLOSED)]
    assert len(belongings.entries("a", "log")) == PLACES


@pytest.mark.covers(103)
def test_messages_stay_with_their_receiver(provider: StateProvider, belongings: Belongings) -> None:
    make_source(provider)
    belongings.message("a", "received", consumed_by=1)
    belongings.message("a", "waiting")

    commit(provider, fork("a", "b", 3))

    assert belongings.messages("b") == []
    assert belongings.messages("a") == [("received", 1), ("waiting", None)]


@pytest.mark.covers(127)
def test_a_child_of_the_source_stays_linked_unless_another_one_stands_for_it(
    provider: StateProvider, belongings: Belongings
) -> None:
    make_source(provider)
    belongings.child("a", 1, "a-1")
    belongings.child("a", 2, "a-2")

    commit(provider, fork("a", "b", 4), fork("a", "c", 4, children=(("a-2", "mended"), ("a-9", "nothing"))))

    assert [record.child_id for record in history(provider, "b")] == ["a-1", "a-2", None]
    assert [record.child_id for record in history(provider, "c")] == ["a-1", "mended", None]
    assert [record.child_id for record in history(provider, "a")] == ["a-1", "a-2", None, None]


def test_a_place_that_no_database_counts_to_is_refused(provider: StateProvider) -> None:
    make_source(provider)

    [outcome] = commit(provider, ForkWorkflow("a", "b", 2**31, "creator"))

    assert type(outcome).__name__ == "Refused"
