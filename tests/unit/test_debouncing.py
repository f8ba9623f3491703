"""What a debounced workflow may be made of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from durust import Debounced, InvalidArgument, WorkflowOptions, debounce
from durust.model.names import NAME_LENGTH_MAX
from tests.conformance.builders import start


def test_durations_are_seconds_or_timedeltas() -> None:
    made = debounce("index", key="k", period=timedelta(minutes=1), limit=300)

    assert made == Debounced("index", "k", 60.0, 300.0)
    with pytest.raises(FrozenInstanceError):
        made.key = "another"  # type: ignore[misc]  # that is the point


def test_without_a_limit_each_call_pushes_the_run() -> None:
    assert debounce("index", key="k", period=1.0).limit_seconds is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workflow": len}, "decorated with @durust.workflow"),
        ({"key": ""}, "must not be empty"),
        ({"key": 7}, "must be a text"),
        ({"key": "a\0b"}, "NUL"),
        ({"period": 0}, "longer than 0 seconds"),
        ({"period": -1}, "0 seconds or more"),
        ({"period": True}, "number of seconds"),
        ({"limit": 0.5}, "not be below the period of 1 s"),
        ({"limit": float("inf")}, "finite"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        debounce(**{"workflow": "index", "key": "k", "period": 1.0, **arguments})


def test_a_key_that_is_too_long_together_with_the_name_is_refused() -> None:
    made = debounce("index", key="k" * NAME_LENGTH_MAX, period=1.0)

    with pytest.raises(InvalidArgument, match="name and debounce key"):
        made.write(start(), WorkflowOptions())
