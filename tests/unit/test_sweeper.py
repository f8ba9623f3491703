"""The sweeper's rounds come when something is due, also when it is told of that amid a round."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import pytest

from durust.engine.sweeper import BUSY_PAUSE_SECONDS, Sweeper
from durust.model.filters import Scope, SweepRequest
from durust.model.sweeps import Swept
from durust.storage.provider import StateProvider

CADENCE = 600.0
REQUEST = SweepRequest("me", Scope("durust", ()), reap=True)


class Sweeping:
    """A provider that sweeps nothing, and lets something happen meanwhile."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None
        self.swept = Swept()

    def sweep(self, _: SweepRequest) -> Swept:
        self.meanwhile()
        return self.swept


def make_sweeper(provider: Sweeping) -> Sweeper:
    return Sweeper(cast("StateProvider", provider), CADENCE, lambda: REQUEST, lambda _: None)


def test_a_quiet_round_is_followed_by_one_a_cadence_later() -> None:
    pause = make_sweeper(Sweeping()).run_once()

    assert 0.7 * CADENCE < pause < 1.3 * CADENCE


@pytest.mark.parametrize("seconds", [0.0, 3.0, 2 * CADENCE])
def test_what_is_told_amid_a_round_that_could_not_see_it_brings_the_next_one_in_time(seconds: float) -> None:
    provider = Sweeping()
    sweeper = make_sweeper(provider)
    provider.meanwhile = lambda: sweeper.expect(seconds)

    pause = sweeper.run_once()

    assert BUSY_PAUSE_SECONDS <= pause <= min(max(seconds, BUSY_PAUSE_SECONDS), 1.3 * CADENCE)


def test_what_is_told_between_rounds_wakes_only_where_the_next_comes_too_late() -> None:
    sweeper = make_sweeper(Sweeping())
    sweeper.run_once()

    sweeper.expect(2 * CADENCE)
    is_woken_by_a_late_one = sweeper._wake.is_set()
    sweeper.expect(1.0)

    assert (is_woken_by_a_late_one, sweeper._wake.is_set()) == (False, True)


def test_what_the_database_says_is_due_is_forgotten_with_the_next_round() -> None:
    provider = Sweeping()
    sweeper = make_sweeper(provider)
    provider.meanwhile = lambda: sweeper.expect(1.0)
    sweeper.run_once()
    provider.meanwhile = lambda: None

    assert sweeper.run_once() > 0.7 * CADENCE


@pytest.mark.parametrize(("released", "is_seen"), [(0, False), (2, True)])
def test_a_death_is_told_only_where_work_was_in_hand(
    caplog: pytest.LogCaptureFixture, released: int, *, is_seen: bool
) -> None:
    provider = Sweeping()
    provider.swept = Swept(reaped=("du:gone",), released=released)

    with caplog.at_level(logging.WARNING, "durust"):
        make_sweeper(provider).run_once()

    assert ("du:gone" in caplog.text) is is_seen
