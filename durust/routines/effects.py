"""What a routine may ask of its driver, and the ends a call can have."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from durust.model.waits import Awaited
from durust.model.writes import RunWrite

T = TypeVar("T")

# None of these is frozen, though nobody changes them: several are made for each step, and freezing one costs more than
# making it.


@dataclass(slots=True)
class Commit:
    """Commit a write; answered by its outcome."""

    write: RunWrite


@dataclass(slots=True)
class Call:
    """Call the user's step body; answered by `Returned`, `Raised` or `Cut`."""

    body: Callable[[], Any]
    is_async: bool


@dataclass(slots=True)
class Pause:
    """Wait that long in memory; answered by None, or by `Cut`."""

    seconds: float


@dataclass(slots=True)
class Sleep:
    """Wait until an instant of the database's clock; answered by None or `Cut`, unless the run parks and unwinds."""

    place: int
    until_ms: int


@dataclass(slots=True)
class Await:
    """Wait for the first of some things that others write, at most until an instant of the database's clock.

    Answered by its `Arrival`, by None when the time is up, or by `Cut`, unless the run parks and unwinds. What is there
    already comes at once, also when the time is up.
    """

    place: int
    what: tuple[Awaited, ...]
    until_ms: int | None


@dataclass(slots=True)
class Transact:
    """Call the user's function in a database transaction that also records how it ended.

    Answered by the outcome of the record; by `Raised`, `Cut` or `Stood` when there is no record yet.
    """

    asker: Any
    """What makes the record when the function has ended."""
    isolation: str
    database: Any
    """Another database than that which holds the state, or None."""


@dataclass(slots=True)
class Stood:
    """How the function ended stands in another database already, beside what it wrote there."""

    output: str | None
    error: str | None
    serialization: str | None


@dataclass(slots=True)
class Returned:
    """The call came back with a value."""

    value: Any


@dataclass(slots=True)
class Raised:
    """The call came back with an error. It is a value, because a generator cannot let a StopIteration through."""

    error: BaseException


@dataclass(slots=True)
class Cut:
    """The call was cut short: the task that waits for it was cancelled by the workflow's own code."""


Ended = Returned | Raised
StepEnd = Ended | Cut
Effect = Commit | Call | Pause | Sleep | Await | Transact
Routine = Generator[Effect, Any, T]
