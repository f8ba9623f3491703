"""Each numbered behaviour is asserted by a test that names it, or says why not."""

from __future__ import annotations

from tests.tidy.behaviours import behaviours, misplaced, shown, where

STATES = {"covered", "partly", "differs", "later"}
# The two states of which a test has to show something.
SHOWN = {"covered", "partly"}


def test_each_behaviour_has_a_number_of_its_own_a_text_and_a_known_state() -> None:
    listed = behaviours()

    assert [one.number for one in listed] == list(range(1, len(listed) + 1))
    assert [where(one) for one in listed if one.state not in STATES or not one.section] == []


def test_each_behaviour_is_asserted_by_a_test_or_has_a_reason_not_to_be() -> None:
    numbers = {one.number for one in shown()}
    missing = [one for one in behaviours() if one.state in SHOWN and one.number not in numbers]

    assert [
        f"{where(one)}: no test says @pytest.mark.covers({one.number}); write one, or `later:` or `differs:` here"
        for one in missing
    ] == []


def test_no_marker_names_an_unknown_behaviour() -> None:
    known = {one.number for one in behaviours()}

    assert [f"{one.place}: {one.test} covers {one.number}" for one in shown() if one.number not in known] == []


def test_each_marker_stands_on_a_test_and_names_numbers() -> None:
    assert misplaced() == []
