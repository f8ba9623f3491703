"""Attributes hold what JSON carries exactly, within bounds, and say where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from durust import InvalidArgument, WorkflowOptions
from durust.model.attributes import ATTRIBUTES_BYTES_MAX, ATTRIBUTES_DEPTH_MAX, contains, dump_attributes, merge


def nested(depth: int) -> dict[str, Any]:
    """Return a dict in a dict, so many in all."""
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1], "must be a dict"),
        ({"a": None}, "'a' is None"),
        ({"a": (1, 2)}, "stands at a"),
        ({"a": [{"b": {1, 2}}]}, "stands at a[0].b"),
        ({"a": {2: 1}}, "is a key at a"),
        ({"a": float("inf")}, "finite"),
        ({"a": "x\0"}, "NUL"),
        ({"\ud800": 1}, "surrogate"),
        (nested(ATTRIBUTES_DEPTH_MAX), "nested deeper"),
        ({"a": "x" * ATTRIBUTES_BYTES_MAX}, "must have at most"),
    ],
    ids=str,
)
def test_what_json_cannot_carry_is_refused_by_its_place(given: Any, says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        WorkflowOptions(attributes=given)

    assert says in str(refused.value)


def test_what_json_carries_is_kept() -> None:
    assert dump_attributes({"a": [1, 2.5, "ä", True, None, {"b": {}}]}) == '{"a":[1,2.5,"ä",true,null,{"b":{}}]}'


def test_options_keep_a_copy_of_their_attributes() -> None:
    mine = {"tags": ["a"]}
    options = WorkflowOptions(attributes=mine)

    mine["tags"].append("b")

    assert options.attributes == {"tags": ["a"]}


def test_what_another_library_left_and_is_no_object_counts_as_none() -> None:
    assert merge("[1]", '{"x":1}') == '{"x":1}'
    assert merge("not json", '{"x":1}') == '{"x":1}'
    assert contains("not json", '{"x":1}') is False


@pytest.mark.parametrize("roles", ["admin", 3, [1], [""]])
def test_roles_that_cannot_be_meant_are_refused(roles: Any) -> None:
    with pytest.raises(InvalidArgument, match="authenticated_roles"):
        WorkflowOptions(authenticated_roles=roles)
