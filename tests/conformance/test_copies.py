"""What is read of a workflow as a whole is what another database holds once it was imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.status import Status
from durust.model.writes import Existing, Recorded
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import StateProvider
from tests.conformance.belongings import Belongings
from tests.conformance.builders import (
    commit,
    commit_one,
    delete,
    finish,
    fork,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    record_sleep,
    record_step,
    row_of,
    start,
    want,
)


@pytest.fixture
def other() -> Iterator[StateProvider]:
    """Return the reference, as the other database."""
    provider = InMemoryProvider()
    yield provider
    provider.close()


def make_rich(provider: StateProvider, belongings: Belongings) -> None:
    """Make a workflow that has something of everything, and a child with a child."""
    claimed = make_claimed(
        provider,
        "a",
        attributes='{"city": "Bern"}',
        authenticated_user="ann",
        authenticated_roles='["admin"]',
        priority=4,
        timeout_ms=3_600_000,
        serialization="py_pickle",
    )
    commit(provider, record_step(claimed), record_sleep(claimed, 2), record_step(claimed, 4, output=None, error='"no"'))
    commit(provider, finish(claimed))
    belongings.child("a", 1, "a-1")
    for place, text in ((1, '"begun"'), (4, '"done"')):
        belongings.event("a", place, "stage", text)
    belongings.event("a", 1, "weight", "3", serialization="py_pickle")
    for offset, text in enumerate(('"one"', '"two"')):
        belongings.append("a", 1 + 3 * offset, "log", text, offset=offset)
    belongings.message("a", "received", consumed_by=4)
    belongings.message("a", "another")
    belongings.message("a", "a third")
    commit(provider, start("a-1", parent_id="a"))
    commit(provider, start("a-1-1", parent_id="a-1"))
    commit(provider, fork("a", "fork of a", 2))


def bare(copies: list[WorkflowCopy]) -> list[WorkflowCopy]:
    """Return *copies* without what an import does not keep."""
    return [
        replace(copy, row=replace(copy.row, creator=None, executor_id=None, token=None, dedup_id=None))
        for copy in copies
    ]


@pytest.mark.covers(174, 182)
def test_a_copy_is_whole_in_whatever_database_it_is_imported(
    provider: StateProvider, belongings: Belongings, other: StateProvider
) -> None:
    make_rich(provider, belongings)
    copies = provider.copies("a", children=True)

    there = commit_one(other, ImportWorkflows(tuple(copies), "creator"))
    commit(provider, *(delete(copy.row.workflow_id) for copy in copies))
    back = commit_one(provider, ImportWorkflows(tuple(other.copies("a", children=True)), "creator"))

    assert (there, back) == (Recorded(), Recorded())
    assert bare(other.copies("a", children=True)) == bare(copies)
    assert bare(provider.copies("a", children=True)) == bare(copies)
    assert [copy.row.workflow_id for copy in copies] == ["a", "a-1", "a-1-1"]
    [copy, *_] = copies
    assert [step.place for step in copy.steps] == [1, 2, 4]
    assert [(event.key, event.text) for event in copy.events] == [("stage", '"done"'), ("weight", "3")]
    assert [(event.place, event.key) for event in copy.past_events] == [(1, "stage"), (1, "weight"), (4, "stage")]
    assert [(entry.offset, entry.text) for entry in copy.streams] == [(0, '"one"'), (1, '"two"')]
    assert [(one.text, one.consumed_by) for one in copy.messages] == [
        ("received", 4),
        ("another", None),
        ("a third", None),
    ]


def test_without_its_children_a_workflow_comes_alone(provider: StateProvider, belongings: Belongings) -> None:
    make_rich(provider, belongings)

    copies = provider.copies("a", children=False)

    assert [copy.row.workflow_id for copy in copies] == ["a"]
    assert provider.copies("nobody", children=True) == []


@pytest.mark.covers(174)
def test_where_one_id_is_taken_nothing_is_imported(
    provider: StateProvider, belongings: Belongings, other: StateProvider
) -> None:
    make_rich(provider, belongings)
    copies = tuple(provider.copies("a", children=True))
    commit(provider, delete("a"), delete("a-1"))
    standing = replace(row_of(provider, "a-1-1"), inputs=None)

    outcome = commit_one(provider, ImportWorkflows(copies, "creator"))

    assert outcome == Existing(standing)
    assert belongings.count("a") == belongings.count("a-1") == 0


def test_a_repeated_import_changes_nothing(provider: StateProvider, belongings: Belongings) -> None:
    make_rich(provider, belongings)
    copies = tuple(provider.copies("a", children=True))
    commit(provider, delete("a"), delete("a-1"), delete("a-1-1"))
    write = ImportWorkflows(copies, "creator")
    commit(provider, write)
    [claimed] = [
        one for one in provider.claim(want(make_executor(provider, "second"), "work")) if one.lease.workflow_id == "a-1"
    ]
    commit(provider, record_step(claimed))

    outcomes = commit(provider, write, write)

    assert outcomes == [Recorded(), Recorded()]
    assert len(history(provider, "a-1")) == 1


def test_what_is_imported_unfinished_is_claimed_with_its_history(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed))
    [copy] = provider.copies("a", children=False)
    commit(provider, delete("a"))
    queued = replace(copy, row=replace(copy.row, status=Status.ENQUEUED, queue="elsewhere", started_at_ms=None))

    commit(provider, ImportWorkflows((queued,), "creator"))

    [again] = provider.claim(want(make_executor(provider, "second"), "elsewhere"))
    assert (again.lease.workflow_id, again.history, again.attempts) == ("a", copy.steps, 2)


def test_an_import_that_no_database_can_hold_costs_its_neighbours_nothing(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    [copy] = provider.copies("a", children=False)
    bad = replace(copy, row=replace(copy.row, workflow_id="b", name="nul \0"))

    outcomes = commit(provider, ImportWorkflows((bad,), "creator"), start("c"))

    assert type(outcomes[0]).__name__ == "Refused"
    assert isinstance(outcomes[1], Recorded)
    assert provider.copies("b", children=False) == []
