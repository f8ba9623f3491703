"""A name is a text that every database can store."""

from __future__ import annotations

from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.names import NAME_LENGTH_MAX, check_name


@pytest.mark.parametrize(
    "name", ["a", " ", "x" * NAME_LENGTH_MAX, "ü/ñ 🚚", "\U0010ffff", "\ud7ff\ue000", "a\nb", "--; drop table"]
)
def test_a_name_that_can_be_stored_comes_back(name: str) -> None:
    assert check_name("queue", name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "must not be empty"),
        ("x" * (NAME_LENGTH_MAX + 1), f"must be at most {NAME_LENGTH_MAX} characters long"),
        ("a\0", "NUL"),
        ("\ud800", "lone surrogate"),
        ("a\udfffb", "lone surrogate"),
        (None, "must be a text"),
        (7, "must be a text"),
        (b"mail", "must be a text"),
        (["mail"], "must be a text"),
    ],
)
def test_any_other_name_is_refused_with_the_reason(name: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=f"queue=.*{reason}"):
        check_name("queue", name)


def test_a_name_that_is_too_long_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_name("queue", "x" * 1_000_000)

    assert len(str(raised.value)) < 200
