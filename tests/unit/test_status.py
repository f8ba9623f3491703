"""The table of states moves a workflow where it says, and nowhere else."""

from __future__ import annotations

import itertools

import pytest

from durust.model.status import INITIAL, TERMINAL, TRANSITIONS, Event, Status, finishing_event, move

# Written out, so that a changed table must be meant.
MOVES = {
    (Status.ENQUEUED, Event.CLAIM): Status.PENDING,
    (Status.PENDING, Event.PARK): Status.DELAYED,
    (Status.DELAYED, Event.DUE): Status.ENQUEUED,
    (Status.PENDING, Event.SUCCEED): Status.SUCCESS,
    (Status.PENDING, Event.FAIL): Status.ERROR,
    (Status.PENDING, Event.EXHAUST): Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED,
    (Status.PENDING, Event.HAND_BACK): Status.ENQUEUED,
    (Status.PENDING, Event.RELEASE): Status.ENQUEUED,
    (Status.DELAYED, Event.CANCEL): Status.CANCELLED,
    (Status.ENQUEUED, Event.CANCEL): Status.CANCELLED,
    (Status.PENDING, Event.CANCEL): Status.CANCELLED,
    (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Event.CANCEL): Status.CANCELLED,
    (Status.DELAYED, Event.EXPIRE): Status.CANCELLED,
    (Status.ENQUEUED, Event.EXPIRE): Status.CANCELLED,
    (Status.PENDING, Event.EXPIRE): Status.CANCELLED,
    (Status.CANCELLED, Event.RESUME): Status.ENQUEUED,
    (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Event.RESUME): Status.ENQUEUED,
    (Status.DELAYED, Event.RESUME): Status.ENQUEUED,
}
OTHERS = [pair for pair in itertools.product(Status, Event) if pair not in MOVES]


@pytest.mark.parametrize(("source", "event"), MOVES)
def test_a_listed_event_moves_the_workflow(source: Status, event: Event) -> None:
    assert move(source, event) is MOVES[source, event]


@pytest.mark.parametrize(("source", "event"), OTHERS)
def test_any_other_event_raises(source: Status, event: Event) -> None:
    with pytest.raises(ValueError, match=f"{event.name} does not apply to a workflow that is {source}"):
        move(source, event)


def test_every_event_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Event)


def test_only_a_person_moves_an_ended_workflow_and_nobody_one_that_has_a_result() -> None:
    moved = {(source, event) for event, move in TRANSITIONS.items() for source in move.sources & TERMINAL}

    assert moved == {
        (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Event.CANCEL),
        (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Event.RESUME),
        (Status.CANCELLED, Event.RESUME),
    }


def test_every_state_is_a_beginning_or_is_reached() -> None:
    reached = {transition.target for transition in TRANSITIONS.values()}

    assert INITIAL | reached == set(Status)


def test_a_state_is_terminal_or_something_leads_on_from_it() -> None:
    by_hand = {Event.CANCEL, Event.RESUME}
    lead_on = set().union(*(move.sources for event, move in TRANSITIONS.items() if event not in by_hand))

    assert {status for status in Status if status.is_terminal} == set(Status) - lead_on == TERMINAL


@pytest.mark.parametrize(
    ("target", "event"),
    [
        (Status.SUCCESS, Event.SUCCEED),
        (Status.ERROR, Event.FAIL),
        (Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, Event.EXHAUST),
    ],
)
def test_a_run_finishes_by_the_event_of_its_end(target: Status, event: Event) -> None:
    assert finishing_event(target) is event


@pytest.mark.parametrize("target", [Status.DELAYED, Status.ENQUEUED, Status.PENDING, Status.CANCELLED])
def test_a_run_finishes_in_no_other_state(target: Status) -> None:
    with pytest.raises(ValueError, match=f"a run cannot finish as {target}"):
        finishing_event(target)


def test_a_status_is_its_canonical_name() -> None:
    assert [str(status) for status in Status] == [status.name for status in Status]
