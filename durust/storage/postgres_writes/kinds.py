"""What is said of a kind of write: how it is sent, what it is answered, and how its silence is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from durust.model.writes import Outcome
from durust.storage.links import Call, Row
from durust.storage.retries import RECORDED

# A write is sent again when what stands explains neither that it was written nor that it was not: its key was taken by
# a neighbour of the batch that was refused, or the row changed in between. Each round settles one write of each key.
ROUNDS_MAX = 64

# The rows of each call.
Results = list[list[Row]]
# Some outcomes by the index of their write.
Answers = dict[int, Outcome]
Group = list[tuple[int, Any]]
Read = Callable[[Group, Results], Answers]


@dataclass(frozen=True, slots=True)
class Question:
    """What asks, in a later transaction, why writes did not come back; one without an answer then is sent again."""

    calls: Callable[[list[Any]], list[Call]]
    read: Read


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type of write is sent and answered."""

    calls: Callable[[list[Any]], list[Call]]
    read: Read
    key: Callable[[Any], Any] | None = None
    """What two in one statement must not share; None where they may share everything."""
    question: Question | None = None
    wakes: Callable[[list[Any]], list[Call]] = lambda _: []
    """What is sent behind the calls of all others, in snapshots of its own."""


def explained(explain: Callable[[Any, Row], Outcome | None]) -> Read:
    """Return what reads one call with a row for each write: *explain* says why, or None to send it again."""

    def read(group: Group, results: Results) -> Answers:
        [found] = results
        outcomes = [(index, explain(write, row)) for (index, write), row in zip(group, found, strict=True)]
        return {index: outcome for index, outcome in outcomes if outcome is not None}

    return read


def by_key(writes: Iterable[Any], key: Callable[[Any], str]) -> list[Any]:
    """Return the last write of each key: two of one in a statement would touch one row twice."""
    return list({key(write): write for write in writes}.values())


def all_recorded(found: Group, _: Results) -> Answers:
    """Answer that all of it stands."""
    return {index: RECORDED for index, _ in found}


def stored(found: Group, results: Results) -> Answers:
    """Answer, with a call for each write, those of which a row came back."""
    return {index: RECORDED for (index, _), came_back in zip(found, results, strict=True) if came_back}
