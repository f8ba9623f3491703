"""What the threads for the database found out, for the main loop to act on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from durust.storage.provider import Hint

# Facts that the main loop has not read yet; it reads all of them several times a second.
FACTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Lost:
    """A beat did not bring these executors back: somebody reaped them."""

    executor_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A dead executor's workflows are queued again."""

    executor_id: str
    workflows: int


@dataclass(frozen=True, slots=True)
class TookOver:
    """Executors of others were declared dead: their lease had ended, or their process on this host is gone."""

    executors: int
    workflows: int


@dataclass(frozen=True, slots=True)
class Orphaned:
    """Rows of dead executors were found that nobody had released: a bug, healed."""

    workflows: int


@dataclass(frozen=True, slots=True)
class Away:
    """The database does not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """The database answers again."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something changed that workers may be waiting for."""

    hints: tuple[Hint, ...]


News = Lost | HandedBack | TookOver | Orphaned | Away | Back
Fact = News | Heard


class Facts:
    """What the database threads found out, for the main loop. Safe for all threads."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._facts: deque[Fact] = deque(maxlen=FACTS_MAX)
        self._wake = wake

    def add(self, fact: Fact) -> None:
        """Add a fact and wake the main loop."""
        self._facts.append(fact)
        self._wake()

    def take(self) -> list[Fact]:
        """Return the facts that nobody has taken yet."""
        return [self._facts.popleft() for _ in range(len(self._facts))]
