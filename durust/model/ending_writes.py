"""How a run ends or is set aside, as frozen values, and what its claim held."""

from __future__ import annotations

from dataclasses import dataclass

from durust.model.records import Lease
from durust.model.status import Status
from durust.model.waits import Awaited


@dataclass(frozen=True, slots=True)
class FinishWorkflow:
    """End a run: SUCCESS, ERROR or MAX_RECOVERY_ATTEMPTS_EXCEEDED. Answers `Recorded`, `Fenced` or `HistoryLost`."""

    lease: Lease
    after: int | None
    status: Status
    output: str | None
    error: str | None
    serialization: str


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a parked run waits for; kind, target, key and offset are those of an `Awaited`."""

    place: int
    kind: str
    target: str = ""
    key: str = ""
    at: int = 0
    until_ms: int | None = None

    @classmethod
    def of(cls, place: int, awaited: Awaited, until_ms: int | None) -> Wait:
        """Return the wait of the operation at *place* for something, at most until an instant."""
        return cls(place, awaited.kind, awaited.target, awaited.key, awaited.at, until_ms)


@dataclass(frozen=True, slots=True)
class ParkWorkflow:
    """Set a run aside until *until_ms* (database time) or until one of its waits is over; it costs one attempt less.

    What has arrived already queues it again at once. Answers `Recorded`, `Fenced` or `HistoryLost`. A repeated park
    finds the row DELAYED or with another token and is answered `Fenced`: either way the run unwinds.
    """

    lease: Lease
    after: int | None
    until_ms: int | None
    """The first instant that it waits for; None where no time ends its waits."""
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give a run back to its queue without counting the attempt. Answers `Recorded` or `Fenced`."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class ExpireWorkflow:
    """Cancel a run whose deadline has passed by the database's clock.

    Answers `Recorded`, `Fenced`, or `Unexpired` when the row's deadline, as it stands now, has not come.
    """

    lease: Lease


@dataclass(frozen=True, slots=True)
class EndGrants:
    """End the shares of a queue's budget that runs held whose body stopped without a write. Answers `Recorded`."""

    tokens: tuple[str, ...]
