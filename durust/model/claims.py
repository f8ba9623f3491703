"""What a claim grants, and what it found out about the queues that it asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from durust.model.records import Checkpoint, Lease


@dataclass(frozen=True, slots=True)
class Claimed:
    """One granted claim: the lease, what to run, and for a resumed run its whole history in commit order."""

    lease: Lease
    name: str
    inputs: str | None
    serialization: str | None
    attempts: int
    queue: str | None
    app_version: str | None
    created_at_ms: int
    now_ms: int
    """The database's time when the claim was granted; durations are counted from here."""
    left_ms: int | None = None
    """How long after that the deadline is; None without one."""
    deadline_ms: int | None = None
    """The deadline itself."""
    authenticated_user: str | None = None
    authenticated_roles: str | None = None
    assumed_role: str | None = None
    attributes: str | None = None
    history: tuple[Checkpoint, ...] = ()
    """Ordered by (completed_at_ms, place)."""


class Claims(list[Claimed]):
    """What one claim was granted, and what it found out about the queues that it asked."""

    def __init__(
        self,
        granted: Iterable[Claimed] = (),
        *,
        limited: Iterable[str] = (),
        budgeted: Iterable[str] = (),
        again_seconds: float | None = None,
    ) -> None:
        super().__init__(granted)
        self.limited = frozenset(limited)
        """The queues with a limit on which work waits."""
        self.budgeted = frozenset(budgeted)
        """Those of them whose limits count what other executors took."""
        self.again_seconds = again_seconds
        """When a budget that kept work back has room again, or may be counted; None when no time tells."""
