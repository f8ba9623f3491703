"""A transaction: answered from history, or a function whose writes commit together with its record."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from durust.codec import PORTABLE_JSON
from durust.errors import InvalidArgument
from durust.failpoints import failpoint
from durust.model.attempts import StepStatus
from durust.model.records import Checkpoint, Lease
from durust.model.writes import Diverged, Recorded, RecordStep, Refused
from durust.routines.effects import Commit, Cut, Effect, Raised, Returned, Routine, StepEnd, Stood, Transact
from durust.routines.run import Run
from durust.routines.steps import Task, attempt, make_record, read_end, record_end, refusal, settle


@dataclass(frozen=True, slots=True)
class Wish:
    """What a transaction is to be like."""

    isolation: str
    database: Any = None
    """Another one than that which holds the state."""


class Sealing:
    """Makes the record of a function that has ended, before its transaction ends; the run is asked in between."""

    def __init__(self, run: Run, place: int, task: Task, body: Callable[[Any], Any], started_at_ms: int) -> None:
        self._run, self._task, self._started_at_ms = run, task, started_at_ms
        self.place, self._body = place, body
        self.ended: StepEnd = Cut()

    @property
    def lease(self) -> Lease:
        """Return the run's lease."""
        return self._run.lease

    def ensure_open(self) -> None:
        """Raise `Unwind` when the run is closed."""
        self._run.ensure_open()

    def call(self, connection: Any) -> Any:
        """Call the function. Raises what it raises."""
        value = self._body(connection)
        if inspect.isawaitable(value):
            close = getattr(value, "close", None)
            if close is not None:
                close()
            raise InvalidArgument("fn", self._task.name, "answers an awaitable; a transaction takes a plain function")
        return value

    def seal(self, value: Any) -> RecordStep:
        """Return the record. Raises the error of a value that cannot be recorded, and `Unwind`."""
        self._run.ensure_open()
        encoded, self.ended = settle(Returned(value), self._task)
        if isinstance(self.ended, Raised):
            raise self.ended.error
        failpoint("step.record")
        return make_record(self._run, self.place, self._task, self.ended, encoded, self._started_at_ms)

    def withdraw(self) -> None:
        """Do nothing: what a run that is one sequence has asked for overtakes nothing."""


def transact(run: Run, place: int, task: Task, wish: Wish) -> Routine[StepEnd]:
    """Answer what history holds at *place*; otherwise call the function in a transaction that records how it ended.

    An error rolls back, and is recorded by itself.
    """
    run.ensure_open()
    record = run.recall(place, task.name)
    if record is not None:
        return read_end(record, task)
    sealings: list[Sealing] = []
    started_at_ms = run.now_ms()

    def ask(task: Task, status: StepStatus) -> Effect:
        sealings.append(Sealing(run, place, task, partial(task.body, status), started_at_ms))
        return Transact(sealings[-1], wish.isolation, wish.database)

    ended = yield from attempt(run, place, task, ask)
    match ended:
        case Raised(error) if not isinstance(error, Exception):
            # An interrupt says nothing about the step: it is not its outcome.
            return ended
        case Raised() | Cut():
            return (yield from record_end(run, place, task, ended, started_at_ms))
        case Stood():
            return (yield from _adopt(run, place, task, ended, started_at_ms))
        case Diverged(standing) if _is_own(run, standing, task):
            # The answer to its commit was lost.
            run.accept(Recorded(), place, task.name)
            return read_end(standing, task)
    accepted = run.accept(ended, place, task.name)
    failpoint("step.recorded")
    if isinstance(accepted, Refused):
        return (yield from record_end(run, place, task, Raised(refusal(task, accepted)), started_at_ms))
    return sealings[-1].ended


def _adopt(run: Run, place: int, task: Task, stood: Stood, started_at_ms: int) -> Routine[StepEnd]:
    """Record what stands in the other database, and return that."""
    failpoint("step.record")
    write = RecordStep(
        lease=run.lease,
        after=run.after,
        place=place,
        name=task.name,
        output=stood.output,
        error=stood.error,
        serialization=stood.serialization or PORTABLE_JSON,
        started_at_ms=started_at_ms,
        completed_at_ms=run.stamp(place),
    )
    accepted = run.accept((yield Commit(write)), place, task.name)
    failpoint("step.recorded")
    if isinstance(accepted, Refused):
        return Raised(refusal(task, accepted))
    return read_end(stood, task)


def _is_own(run: Run, standing: Checkpoint, task: Task) -> bool:
    return (standing.claim, standing.name) == (run.lease.token, task.name)
