"""What earlier executions of a run left behind: in which order its operations came back, and when each went on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from durust.model.claims import Claimed
from durust.model.records import Checkpoint

SLEEP_NAME = "DBOS.sleep"
"""The canonical name of a sleep's record, which other tools show too."""
TIMEOUT_NAME = "durust.timeout"
"""The name of the record, at the place after a wait's, of the instant at which the wait is given up."""
CUT_NAME = "durust.sleep.cut"
"""The name of the record, at the place after a sleep's, that it was cut short before its end."""

Key = tuple[int, int]
"""Time and place of what moves a run on, in milliseconds of the database's clock: in this order it happens."""

# Above every place, so that an execution begins after all that stands in the millisecond of the last record.
_LAST_PLACE = 1 << 31
# What a claim writes into the first digits of its token, and what a direct start leaves zero.
_TOKEN_TIME_DIGITS = 16


class CameBack(NamedTuple):
    """An operation that came back."""

    key: Key
    place: int

    @property
    def reached(self) -> Key:
        """Return how far the run is when this has happened."""
        return self.key


class WentOn(NamedTuple):
    """Another execution that went on behind the records of the one before it."""

    key: Key
    at_ms: int
    """When it was claimed: the run's time leaps to here."""

    @property
    def reached(self) -> Key:
        """Return how far the run is when this has happened."""
        return self.at_ms, 0


@dataclass(frozen=True, slots=True)
class Past:
    """What a new execution has to repeat before it does anything new."""

    begun_ms: int
    """When the first execution that left a record was claimed, of a fork its source's."""
    now_ms: int
    """The time at this claim, which is never before anything that was written, whatever the database's clock did."""
    order: tuple[CameBack | WentOn, ...]


def recollect(claimed: Claimed) -> Past:
    """Return what the history of a claimed run tells.

    Everything that moves a run on has a key: an operation the time of its completion, a sleep its instant. An execution
    took in, in this order, what has a key up to its own last record's; the next one went on from there.
    """
    if not claimed.history:
        # As in most runs, which only begin.
        return Past(_begun_ms(claimed, claimed.lease.token), claimed.now_ms, ())
    last: dict[str, Key] = {}
    for record in claimed.history:
        token = record.claim or ""
        last[token] = max(last.get(token, (0, 0)), _written(record))
    tokens = sorted(last, key=lambda token: last[token])
    executions = [*tokens, claimed.lease.token]
    went_on = [
        WentOn((last[before][0], _LAST_PLACE), max(_claimed_ms(after), last[before][0] + 1))
        for before, after in pairwise(executions)
    ]
    now_ms = max(claimed.now_ms, went_on[-1].at_ms) if went_on else claimed.now_ms
    events: list[CameBack | WentOn] = [*_came_back(claimed.history, now_ms), *went_on]
    return Past(
        begun_ms=_begun_ms(claimed, executions[0]),
        now_ms=now_ms,
        order=tuple(sorted(events, key=lambda event: event.key)),
    )


def _begun_ms(claimed: Claimed, first: str) -> int:
    """Return when the *first* execution was claimed.

    A direct start does not know its time and began when the row was made. Not so where the records are older than the
    row: then another library forked it, which keeps no claims, and what is known is when its first step began.
    """
    starts = (record.started_at_ms for record in claimed.history if record.started_at_ms is not None)
    return _claimed_ms(first) or min([claimed.created_at_ms, *starts])


def _came_back(history: Iterable[Checkpoint], now_ms: int) -> Iterable[CameBack]:
    cut = {record.place - 1 for record in history if record.name == CUT_NAME}
    for record in history:
        key = (record.completed_at_ms or 0, record.place)
        if record.name == TIMEOUT_NAME:
            # No operation: it only says how long one waits.
            continue
        if record.name == SLEEP_NAME:
            # Its record carries the instant of its waking; every other one was written when it was complete.
            if key[0] <= now_ms and record.place not in cut:
                yield CameBack(key, record.place)
        else:
            # A sleep that was cut short comes back at its own place.
            yield CameBack(key, record.place - (record.name == CUT_NAME))


def _written(record: Checkpoint) -> Key:
    is_instant = record.name in {SLEEP_NAME, TIMEOUT_NAME}
    at_ms = record.started_at_ms if is_instant else record.completed_at_ms
    return at_ms or 0, record.place


def _claimed_ms(token: str) -> int:
    """Return the database's time of a claim in milliseconds, 0 for a start without one."""
    try:
        return int(token[:_TOKEN_TIME_DIGITS], 16) // 1000
    except ValueError:
        return 0
