"""Random workflows that are killed again and again do in each execution what they did before."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from durust.engine import loops
from durust.engine.stillness import Stillness
from durust.engine.turns import Turns
from durust.model.claims import Claimed
from durust.routines import run
from durust.routines.replay import CameBack, Past, recollect
from tests.simulation.lives import Life
from tests.simulation.programs import make_program

# A life takes a few milliseconds, so each case is over in seconds.
LIVES = 100
CASES = 4
# A planted bug shows within the first dozens of lives; this leaves room for another order of the draws.
LIVES_UNTIL_NOTICED_MAX = 400


def faults_of(seed: int, *, timers: bool) -> list[str]:
    """Live one life and return what the judge objects to."""
    life = Life(make_program(random.Random(seed), timers=timers), seed)
    life.live()
    return life.faults


@pytest.mark.covers(23, 51)
@pytest.mark.parametrize("timers", [False, True], ids=["plain", "timers"])
@pytest.mark.parametrize("case", range(CASES))
def test_whatever_the_moment_of_death_no_record_is_lost_or_made_twice(case: int, *, timers: bool) -> None:
    seeds = range(case * LIVES, (case + 1) * LIVES)

    faults = {seed: found for seed in seeds if (found := faults_of(seed, timers=timers))}

    assert faults == {}


def in_the_order_of_calls(claimed: Claimed) -> Past:
    """Return the past of a run as if its operations had come back in the order of their calls."""
    past = recollect(claimed)
    came_back = [event for event in past.order if isinstance(event, CameBack)]
    places = sorted(event.place for event in came_back)
    order = [CameBack(event.key, place) for event, place in zip(came_back, places, strict=True)]
    return replace(past, order=tuple(order))


PLANTED: dict[str, tuple[object, str, Callable[..., Any], bool]] = {
    "timers left to the loop": (loops, "govern", lambda _: None, True),
    "no time for the tasks to go on": (Stillness, "_stirring", lambda _: set(), False),
    "keys that nobody notes": (Turns, "commits", lambda *_: None, False),
    "the order of calls": (run, "recollect", in_the_order_of_calls, False),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_judge_notices_a_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home, name, planted, timers = PLANTED[bug]
    monkeypatch.setattr(home, name, planted)

    def is_noticed(seed: int) -> bool:
        try:
            return bool(faults_of(seed, timers=timers))
        except AssertionError:
            # A life that comes to a standstill is noticed too.
            return True

    assert any(map(is_noticed, range(LIVES_UNTIL_NOTICED_MAX)))
