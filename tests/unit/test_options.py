"""The options of a start are checked when they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.options import PRIORITY_MAX, WorkflowOptions


def test_nothing_is_asked_for_by_default() -> None:
    options = WorkflowOptions()

    assert (options.workflow_id, options.dedup_id, options.app_version) == (None, None, None)
    assert (options.priority, options.delay_seconds) == (0, 0.0)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [(0, 0.0), (5, 5.0), (0.25, 0.25), (timedelta(minutes=2, milliseconds=5), 120.005), (timedelta(), 0.0)],
)
def test_a_delay_is_seconds_or_a_timedelta(delay: float | timedelta, seconds: float) -> None:
    assert WorkflowOptions(delay=delay).delay_seconds == seconds


@pytest.mark.parametrize("delay", [-0.001, float("nan"), float("inf"), "5", None, True, timedelta(seconds=-1)])
def test_a_delay_that_cannot_be_meant_is_refused(delay: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^delay="):
        WorkflowOptions(delay=delay)


@pytest.mark.parametrize("priority", [0, 1, PRIORITY_MAX])
def test_a_priority_that_the_column_holds_is_taken(priority: int) -> None:
    assert WorkflowOptions(priority=priority).priority == priority


@pytest.mark.parametrize("priority", [-1, PRIORITY_MAX + 1, True, 1.0, "1", None])
def test_any_other_priority_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^priority="):
        WorkflowOptions(priority=priority)


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * 513, 5])
@pytest.mark.parametrize("field", ["workflow_id", "dedup_id", "app_version"])
def test_an_id_that_cannot_be_stored_is_refused_by_its_name(field: str, value: Any) -> None:
    options: dict[str, Any] = {field: value}

    with pytest.raises(InvalidArgument, match=f"^{field}="):
        WorkflowOptions(**options)


@pytest.mark.parametrize(("value", "dedup_id"), [("attach", "x"), (None, "x"), (True, "x"), ("return", None)])
def test_an_answer_to_duplicates_that_cannot_be_meant_is_refused(value: Any, dedup_id: str | None) -> None:
    with pytest.raises(InvalidArgument, match=r"^on_duplicate="):
        WorkflowOptions(dedup_id=dedup_id, on_duplicate=value)


def test_options_do_not_change_once_made() -> None:
    options: Any = WorkflowOptions()

    with pytest.raises(FrozenInstanceError):
        options.priority = 5
