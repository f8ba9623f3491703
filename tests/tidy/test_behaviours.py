"""Each numbered behaviour is asserted by a test that names it, or says why not."""

from __future__ import annotations

from tests.tidy.behaviours import STATES, Behaviour, Shown, behaviours, misplaced, overtaken, shown, unasserted, unknown


def make_behaviour(number: int, state: str) -> Behaviour:
    """Return a line of the list."""
    return Behaviour(number, "Cats", "A cat sleeps.", state, "" if state == "covered" else "winter")


PLANTED = [make_behaviour(at, state) for at, state in enumerate(("covered", "partly", "differs", "later"), 1)]


def test_each_behaviour_has_a_number_of_its_own_a_section_and_a_known_state() -> None:
    listed = behaviours()

    assert [one.number for one in listed] == list(range(1, len(listed) + 1))
    assert [one.number for one in listed if one.state not in STATES or not one.section] == []


def test_each_behaviour_is_asserted_by_a_test_or_has_a_reason_not_to_be() -> None:
    assert unasserted(behaviours(), shown()) == []


def test_no_marker_names_an_unknown_behaviour() -> None:
    assert unknown(behaviours(), shown()) == []


def test_no_behaviour_that_a_test_asserts_is_still_said_to_come_later() -> None:
    assert overtaken(behaviours(), shown()) == []


def test_each_marker_stands_on_a_test_and_names_numbers() -> None:
    assert misplaced() == []


def test_the_checks_see_what_is_wrong() -> None:
    tests = [Shown(number, "tests/test_cats.py", "test_a_cat_sleeps") for number in (1, 4, 9)]

    assert unasserted(PLANTED, tests) == [
        "number 2: no test says @pytest.mark.covers(2); write one, or `later:` or `differs:`"
    ]
    assert unknown(PLANTED, tests) == ["tests/test_cats.py: test_a_cat_sleeps covers 9"]
    assert overtaken(PLANTED, tests) == [
        "number 4: tests/test_cats.py covers it, so take `later:` off, or make it `partly:`"
    ]
