"""The states of a workflow and the moves between them: Python asks this table, SQL guards with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Status(StrEnum):
    """The state of a workflow, by its canonical name."""

    DELAYED = "DELAYED"
    ENQUEUED = "ENQUEUED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    MAX_RECOVERY_ATTEMPTS_EXCEEDED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"

    @property
    def is_terminal(self) -> bool:
        """Tell whether a workflow in this state has ended (a resume may still revive some of them)."""
        return self in TERMINAL


DELAYED, ENQUEUED, PENDING = Status.DELAYED, Status.ENQUEUED, Status.PENDING
SUCCESS, ERROR, CANCELLED = Status.SUCCESS, Status.ERROR, Status.CANCELLED
MAX_RECOVERY_ATTEMPTS_EXCEEDED = Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED

TERMINAL = frozenset({SUCCESS, ERROR, CANCELLED, MAX_RECOVERY_ATTEMPTS_EXCEEDED})


def recorded(text: str | None) -> Status:
    """Return the state of a row; one that only a newer library knows is kept by its text, and no event moves it."""
    text = text or ""
    try:
        return Status(text)
    except ValueError:
        unknown = str.__new__(Status, text)
        unknown._name_ = unknown._value_ = text
        return unknown


class Event(Enum):
    """What can happen to a workflow row."""

    CLAIM = auto()
    PARK = auto()
    DUE = auto()
    SUCCEED = auto()
    FAIL = auto()
    EXHAUST = auto()
    HAND_BACK = auto()
    RELEASE = auto()
    CANCEL = auto()
    EXPIRE = auto()
    RESUME = auto()


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states an event may move a row, and to which."""

    sources: frozenset[Status]
    target: Status


TRANSITIONS: dict[Event, Transition] = {
    Event.CLAIM: Transition(frozenset({ENQUEUED}), PENDING),
    Event.PARK: Transition(frozenset({PENDING}), DELAYED),
    Event.DUE: Transition(frozenset({DELAYED}), ENQUEUED),
    Event.SUCCEED: Transition(frozenset({PENDING}), SUCCESS),
    Event.FAIL: Transition(frozenset({PENDING}), ERROR),
    Event.EXHAUST: Transition(frozenset({PENDING}), MAX_RECOVERY_ATTEMPTS_EXCEEDED),
    Event.HAND_BACK: Transition(frozenset({PENDING}), ENQUEUED),
    Event.RELEASE: Transition(frozenset({PENDING}), ENQUEUED),
    Event.CANCEL: Transition(frozenset({DELAYED, ENQUEUED, PENDING, MAX_RECOVERY_ATTEMPTS_EXCEEDED}), CANCELLED),
    Event.EXPIRE: Transition(frozenset({DELAYED, ENQUEUED, PENDING}), CANCELLED),
    Event.RESUME: Transition(frozenset({CANCELLED, MAX_RECOVERY_ATTEMPTS_EXCEEDED, DELAYED}), ENQUEUED),
}

# A workflow is born in one of these: queued, delayed, or running at once under its starter.
INITIAL = frozenset({ENQUEUED, DELAYED, PENDING})

_FINISHING = {TRANSITIONS[event].target: event for event in (Event.SUCCEED, Event.FAIL, Event.EXHAUST)}


def move(source: Status, event: Event) -> Status:
    """Return the state that *event* moves a row in *source* to.

    Raises `ValueError` for a move that the table does not list: that is a bug of the caller.
    """
    transition = TRANSITIONS[event]
    if source not in transition.sources:
        raise ValueError(f"{event.name} does not apply to a workflow that is {source}")
    return transition.target


def finishing_event(target: Status) -> Event:
    """Return the event that ends a run in *target*. Raises `ValueError` for a state in which no run ends."""
    try:
        return _FINISHING[target]
    except KeyError:
        raise ValueError(f"a run cannot finish as {target}") from None
