"""One execution of one workflow: its lease, its history, where it is, and whether it is closed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NoReturn

from durust.errors import DurustError, ProviderUnavailable, StepDiverged, Unwind
from durust.model.claims import Claimed
from durust.model.records import Checkpoint, Lease
from durust.model.roles import load_roles
from durust.model.writes import Diverged, Fenced, HistoryLost, Outcome, Recorded, Refused
from durust.routines.replay import Key, recollect
from durust.telemetry import emit


class Verdict(Enum):
    """Why a run is closed. The driver judges by this mark, never by what the body raised."""

    FINISHED = auto()
    FENCED = auto()
    PARKED = auto()
    HANDED_BACK = auto()
    CANCELLED = auto()
    FAILED = auto()


# Another execution goes on from here, so what `finally` does on the way out is not the workflow's doing.
_UNWOUND = frozenset({Verdict.FENCED, Verdict.PARKED, Verdict.HANDED_BACK})


class Run:
    """The state that the routines of one run share. It belongs to the thread or loop that runs the body."""

    __slots__ = (
        "_elapsed_ms",
        "after",
        "assumed_role",
        "attempts",
        "attributes",
        "authenticated_roles",
        "authenticated_user",
        "deadline_ms",
        "failure",
        "history",
        "last_recorded",
        "lease",
        "name",
        "passed",
        "past",
        "place",
        "refusals",
        "verdict",
    )

    def __init__(self, claimed: Claimed, elapsed_ms: Callable[[], int]) -> None:
        self.lease: Lease = claimed.lease
        self.name = claimed.name
        self.attempts = claimed.attempts
        self.authenticated_user = claimed.authenticated_user
        self.authenticated_roles = load_roles(claimed.authenticated_roles)
        self.assumed_role = claimed.assumed_role
        self.attributes = claimed.attributes
        """A JSON object, as this execution knows it."""
        self.deadline_ms = claimed.deadline_ms
        self.past = recollect(claimed)
        self.history: dict[int, Checkpoint] = {record.place: record for record in claimed.history}
        self.last_recorded = max(self.history, default=0)
        """The highest place that earlier executions recorded."""
        self._elapsed_ms = elapsed_ms
        self.passed: Key = max((event.reached for event in self.past.order), default=(0, 0))
        """The latest of what moved the run on, in all executions."""
        self.place = 0
        self.refusals = 0
        self.after: int | None = claimed.history[-1].place if claimed.history else None
        self.verdict: Verdict | None = None
        self.failure: Exception | None = None

    @property
    def workflow_id(self) -> str:
        """Return the id of the workflow that runs."""
        return self.lease.workflow_id

    def now_ms(self) -> int:
        """Return the run's time: the database's at the claim, and what has passed since."""
        return self.past.now_ms + self._elapsed_ms()

    def close(self, verdict: Verdict, failure: Exception | None = None) -> None:
        """Mark the run closed; the first mark stands."""
        if self.verdict is None:
            self.verdict, self.failure = verdict, failure

    def is_closed(self) -> bool:
        """Tell whether the run is closed; it may be at any moment, from outside."""
        return self.verdict is not None

    def is_replaying(self) -> bool:
        """Tell whether the body is where an earlier execution was, or is only unwound for the next one.

        While history holds a place that the body has not taken yet, all that it does was done before.
        """
        return self.place < self.last_recorded or self.verdict in _UNWOUND

    def ensure_open(self) -> None:
        """Raise `Unwind` when the run is closed, so that no later operation does or records anything."""
        if self.verdict is not None:
            raise Unwind(self.verdict.name)

    def take_place(self) -> int:
        """Take the next place, when an operation is called and not when it is first awaited."""
        self.place += 1
        return self.place

    def take_place_of_sleep(self) -> int:
        """Take the next place for a sleep's instant, and the one after it for the record of its being cut short."""
        self.place += 2
        return self.place - 1

    def take_place_of_wait(self) -> int:
        """Take the next place for the outcome of a wait, and the one after it for the instant of its timeout."""
        self.place += 2
        return self.place - 1

    def recall(self, place: int, name: str) -> Checkpoint | None:
        """Return what history holds at *place*, or None. A record of another name fails the run."""
        record = self.history.get(place)
        if record is not None and record.name != name:
            self.diverge(place, name, record.name)
        return record

    def diverge(self, place: int, asked: str, recorded: str) -> None:
        """Fail the run loudly: its code does not follow its history. Raises `Unwind`."""
        emit("run_diverged", workflow=self.workflow_id, place=place, asked=asked, recorded=recorded)
        self.close(Verdict.FAILED, StepDiverged(self.workflow_id, place, asked, recorded))
        raise Unwind(Verdict.FAILED.name)

    def stamp(self, place: int) -> int:
        """Return the completion time of *place*, later in (time, place) than all that came back already.

        The order is read back from these two columns, so that a replay delivers as the first execution did.
        """
        at_ms, last_place = self.passed
        now_ms = max(self.now_ms(), at_ms)
        return now_ms + 1 if now_ms == at_ms and place <= last_place else now_ms

    def break_off(self, error: Exception) -> NoReturn:
        """Close the run because a write of it got no answer, or a wrong one. Raises `Unwind`.

        The body must not take such a fault for the outcome of its step: it would compensate for what did not fail.
        """
        emit("run_broken_off", workflow=self.workflow_id, error=repr(error))
        if isinstance(error, ProviderUnavailable):
            self.close(Verdict.HANDED_BACK)
        elif type(error) is DurustError:
            # The database says no for a reason that nobody foresaw, such as a right that was taken away. It is no fault
            # of the run's, and would hit a handing back too: the audit does that, as often as it takes.
            self.close(Verdict.FENCED)
        else:
            self.close(Verdict.FAILED, error)
        raise Unwind(type(error).__name__) from error

    def accept(self, outcome: Outcome, place: int, name: str) -> Recorded | Refused:
        """Take in what became of a write at *place*.

        Raises `Unwind`, with the run closed, unless the write counts or the database refused its data.
        """
        match outcome:
            case Recorded():
                self.after = place
                return outcome
            case Refused():
                return outcome
            case Diverged(record):
                self.diverge(place, name, record.name)
            case Fenced(holder):
                emit("run_fenced", workflow=self.workflow_id, holder=holder)
                self.close(Verdict.FENCED)
            case HistoryLost():
                emit("history_lost", workflow=self.workflow_id, after=self.after)
                self.close(Verdict.HANDED_BACK)
            case _:
                raise TypeError(f"{outcome!r} is no answer to a run's write")
        raise Unwind("the write did not count")
