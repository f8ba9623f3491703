"""The pauses between the attempts of a step grow, are capped, and end with the last attempt."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.model.retry import RETRIES_MAX, StepOptions, duration_seconds

ERROR = ValueError("no")


def pauses(options: StepOptions) -> list[float]:
    """Return the pauses of a step that fails each time."""
    found: list[float] = []
    while (pause := options.pause_before_retry(len(found) + 1, ERROR)) is not None:
        found.append(pause)
    return found


def test_a_step_is_not_tried_again_by_default() -> None:
    assert pauses(StepOptions()) == []


def test_pauses_grow_by_their_factor() -> None:
    options = StepOptions(max_retries=5, base_interval=0.5, backoff_factor=2.0)

    assert pauses(options) == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_pause_is_capped() -> None:
    options = StepOptions(max_retries=6, base_interval=1.0, backoff_factor=3.0, max_interval=10.0)

    assert pauses(options) == [1.0, 3.0, 9.0, 10.0, 10.0, 10.0]


def test_the_first_pause_is_capped_too() -> None:
    assert pauses(StepOptions(max_retries=1, base_interval=5.0, max_interval=0.25)) == [0.25]


def test_a_factor_of_one_keeps_the_pause() -> None:
    assert pauses(StepOptions(max_retries=3, base_interval=0.25, backoff_factor=1)) == [0.25] * 3


def test_no_pause_stays_none_however_many_there_are() -> None:
    options = StepOptions(max_retries=RETRIES_MAX, base_interval=0)

    assert set(pauses(options)) == {0.0}


def test_the_pauses_may_be_given_as_timedeltas() -> None:
    half, one = timedelta(milliseconds=500), timedelta(seconds=1)

    assert pauses(StepOptions(max_retries=3, base_interval=half, max_interval=one)) == [0.5, 1.0, 1.0]


@pytest.mark.covers(26)
def test_no_pause_follows_the_last_attempt() -> None:
    options = StepOptions(max_retries=2)

    assert options.pause_before_retry(2, ERROR) is not None
    assert options.pause_before_retry(3, ERROR) is None


@pytest.mark.parametrize("factor", [10.0, 1e308, 10])
@pytest.mark.parametrize("base", [0.1, 1e308, 0.0])
def test_pauses_stay_finite_however_many_there_are(factor: float, base: float) -> None:
    options = StepOptions(max_retries=RETRIES_MAX, base_interval=base, backoff_factor=factor, max_interval=60.0)

    found = pauses(options)

    assert len(found) == RETRIES_MAX
    assert all(0 <= pause <= 60 for pause in found)
    assert all(one <= other for one, other in pairwise(found))


def test_should_retry_is_asked_with_each_error_and_ends_the_retries() -> None:
    asked: list[Exception] = []

    def only_twice(error: Exception) -> bool:
        asked.append(error)
        return len(asked) <= 2

    assert len(pauses(StepOptions(max_retries=5, should_retry=only_twice))) == 2
    assert asked == [ERROR] * 3


def test_should_retry_is_not_asked_after_the_last_attempt() -> None:
    def never(_: Exception) -> bool:
        raise AssertionError

    assert pauses(StepOptions(should_retry=never)) == []


async def ask_later(_: Exception) -> bool:
    return True


@pytest.mark.covers(27)
@pytest.mark.parametrize(
    "option",
    [
        {"max_retries": -1},
        {"max_retries": RETRIES_MAX + 1},
        {"max_retries": True},
        {"max_retries": 1.5},
        {"base_interval": -1},
        {"base_interval": float("nan")},
        {"base_interval": "1"},
        {"max_interval": float("inf")},
        {"max_interval": None},
        {"backoff_factor": 0.5},
        {"backoff_factor": float("nan")},
        {"backoff_factor": float("inf")},
        {"backoff_factor": "2"},
        {"backoff_factor": True},
        {"backoff_factor": 10**400},
        {"should_retry": True},
        {"should_retry": ask_later},
        {"serializer": "yaml"},
    ],
    # By the name alone: an id must not hold the address of a function, which is another one in each test process.
    ids=lambda option: next(iter(option)),
)
def test_an_option_that_cannot_be_meant_is_refused_by_its_name(option: dict[str, Any]) -> None:
    [name] = option

    with pytest.raises(InvalidArgument, match=f"^{name}="):
        StepOptions(**option)


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (1.5, 1.5), (timedelta(hours=1), 3600.0)])
def test_a_duration_is_seconds_or_a_timedelta(value: float | timedelta, seconds: float) -> None:
    assert duration_seconds("length", value) == seconds


def test_a_duration_beyond_every_float_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^length="):
        duration_seconds("length", 10**400)
