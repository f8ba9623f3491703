"""Waiting for what another thread or process does: the only place in the tests that pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from durust import clock

T = TypeVar("T")

# Long enough for a machine with more processes than cores; a condition that holds is seen at once all the same.
TIMEOUT_SECONDS = 20.0
# Short beside everything that tests wait for.
POLL_SECONDS = 0.02


def eventually(condition: Callable[[], T], timeout: float = TIMEOUT_SECONDS) -> T:
    """Return the first true answer of *condition*, asked again and again for *timeout* seconds.

    A condition may also assert; it has not come true until it passes. Raises `AssertionError` with the last answer when
    the time is up. Anything else that the condition raises goes to the caller at once.
    """
    deadline = clock.monotonic() + timeout
    while True:
        late = clock.monotonic() >= deadline
        try:
            answer = condition()
        except AssertionError:
            if late:
                raise
        else:
            if answer:
                return answer
            if late:
                message = f"still {answer!r} after {timeout} s"
                raise AssertionError(message)
        clock.pause(POLL_SECONDS)
