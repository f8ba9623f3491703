"""One execution of one workflow: its lease, its history, where it is, and whether it is closed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from durust.errors import StepDiverged, Unwind
from durust.model.records import Checkpoint, Claimed, Lease
from durust.model.writes import Diverged, Fenced, HistoryLost, Outcome, Recorded, Refused
from durust.telemetry import emit


class Verdict(Enum):
    """Why a run is closed. The driver judges by this mark, never by what the body raised."""

    FINISHED = auto()
    FENCED = auto()
    PARKED = auto()
    HANDED_BACK = auto()
    FAILED = auto()


class Run:
    """The state that the routines of one run share. It belongs to the thread or loop that runs the body."""

    __slots__ = (
        "_last_stamp",
        "after",
        "attempts",
        "failure",
        "history",
        "lease",
        "name",
        "now_ms",
        "place",
        "replay",
        "verdict",
    )

    def __init__(self, claimed: Claimed, now_ms: Callable[[], int]) -> None:
        self.lease: Lease = claimed.lease
        self.name = claimed.name
        self.attempts = claimed.attempts
        self.now_ms = now_ms
        self.history: dict[int, Checkpoint] = {record.place: record for record in claimed.history}
        # Commit order; a sleep counts at its waking, so one that still sleeps is not part of what is replayed.
        self.replay = [record.place for record in claimed.history if (record.completed_at_ms or 0) <= claimed.now_ms]
        self.place = 0
        self.after: int | None = claimed.history[-1].place if claimed.history else None
        self.verdict: Verdict | None = None
        self.failure: Exception | None = None
        self._last_stamp = (0, 0)

    @property
    def workflow_id(self) -> str:
        """Return the id of the workflow that runs."""
        return self.lease.workflow_id

    def close(self, verdict: Verdict, failure: Exception | None = None) -> None:
        """Mark the run closed; the first mark stands."""
        if self.verdict is None:
            self.verdict, self.failure = verdict, failure

    def ensure_open(self) -> None:
        """Raise `Unwind` when the run is closed, so that no later operation does or records anything."""
        if self.verdict is not None:
            raise Unwind(self.verdict.name)

    def take_place(self) -> int:
        """Take the next place, when an operation is called and not when it is first awaited."""
        self.ensure_open()
        self.place += 1
        return self.place

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
        """Return the completion time of *place*, such that (time, place) never goes back within this run.

        Commit order is read back from these two columns, so that a replay delivers in the order in which the first
        execution did.
        """
        at, last_place = self._last_stamp
        now = max(self.now_ms(), at)
        if now == at and place < last_place:
            now += 1
        self._last_stamp = (now, place)
        return now

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
