"""The herald announces what it was told, and goes on after what it could not announce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from durust.engine.hints import Herald
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import Hint
from durust.telemetry import counters
from tests.support.line import Line
from tests.support.waiting import eventually


@pytest.fixture
def line() -> Line:
    return Line(InMemoryProvider())


@pytest.fixture
def herald(line: Line) -> Iterator[Herald]:
    made = Herald(line)
    made.start()
    yield made
    made.stop()


@pytest.mark.covers(114)
def test_a_hint_that_cannot_be_announced_is_dropped_and_the_next_one_is_heard(line: Line, herald: Herald) -> None:
    with closing(line.listen()) as listener:
        line.cut()
        away = counters().get("provider_away", 0)
        herald.tell([Hint("queue", "lost")])
        eventually(lambda: counters().get("provider_away", 0) > away)
        line.mend()

        herald.tell([Hint("queue", "heard")])

        assert eventually(lambda: listener.wait(0.05)) == [Hint("queue", "heard")]
        assert listener.wait(0.05) == []
