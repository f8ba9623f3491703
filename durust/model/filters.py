"""What a reader, a claimer or a sweeper asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from durust.errors import InvalidArgument
from durust.model.status import Status

# One page of a list that a person reads or a program walks; a larger answer is asked for in pages.
LIST_LIMIT_DEFAULT = 1000
# Workflows that one batch of a purge removes: a transaction of some milliseconds.
PURGE_LIMIT_DEFAULT = 100
# Three thousand years: beyond any age that is meant, within what a database counts milliseconds with.
PURGE_SECONDS_MAX = 1e11
# Long enough for whoever looks in the morning why a worker died at night.
DEAD_SECONDS_KEPT = 86_400.0
# From these a workflow goes when it is old. Who was set aside after too many attempts still waits for somebody.
FINAL = (Status.SUCCESS, Status.ERROR, Status.CANCELLED)
# Versions that one list shows: the deploys of a year or two.
VERSIONS_LIMIT_DEFAULT = 100
# What a database counts rows and milliseconds with.
_INT8_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows: those of this application, and rows that name none, but these only for workflow names known here."""

    app_name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which workflows to list: every field that is set must match; a sequence matches any of its members.

    Times are epoch milliseconds of `created_at`, from `created_from_ms` on and before `created_before_ms`. The order
    is by creation, then by id; `offset` and `limit` cut a page out of it.

    Raises `InvalidArgument` for a number that is negative or beyond 64 bits.
    """

    workflow_ids: Sequence[str] | None = None
    names: Sequence[str] | None = None
    statuses: Sequence[Status] | None = None
    queues: Sequence[str] | None = None
    executor_ids: Sequence[str] | None = None
    app_names: Sequence[str] | None = None
    scope: Scope | None = None
    app_version: str | None = None
    versions_not: Sequence[str] | None = None
    """Only rows that carry a version, and none of these."""
    is_stranded: bool = False
    """Only rows that wait for a version which no LIVE executor of their application has."""
    id_prefix: str | None = None
    created_from_ms: int | None = None
    created_before_ms: int | None = None
    newest_first: bool = False
    load_input: bool = False
    load_output: bool = False
    limit: int = LIST_LIMIT_DEFAULT
    offset: int = 0

    def __post_init__(self) -> None:
        """Check the numbers, which no two databases take alike when they are out of range."""
        for name in ("limit", "offset", "created_from_ms", "created_before_ms"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= _INT8_MAX:
                raise InvalidArgument(name, number, f"must be an integer from 0 to {_INT8_MAX}")


@dataclass(frozen=True, slots=True)
class QueueWant:
    """How many rows to take from a queue at most, and how many of it run in this process."""

    name: str
    limit: int
    running: int = 0


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What an executor asks for in one claim.

    Only workflows whose name is in `scope.names` are taken, in the order priority, created_at, id within a queue,
    and only rows whose version is NULL or the one of their name; at most `limit` rows over all queues.
    """

    executor_id: str
    scope: Scope
    versions: tuple[str, ...]
    """The version of each name in `scope.names`, at the same index; it is written into the claimed row."""
    queues: tuple[QueueWant, ...]
    limit: int
    budgeted_first: tuple[str, ...] = ()
    """Queues that have a budget, as far as is known, and are to be asked before the others this time."""


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What a sweeper asks for: due delays, lapsed leases, orphaned rows, each at most `limit`."""

    supervisor_id: str
    """Executors of this supervisor are never reaped by it."""
    scope: Scope
    reap: bool
    limit: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """Which ended workflows of an application to remove in one batch, the oldest end first.

    A workflow goes when it ended longer than `ended_before_seconds` ago, by the database's clock, or when `keep_newest`
    others ended later; without either none does. One whose parent has not ended stays, and one that somebody waits for.
    Executors that have been dead for `dead_before_seconds` and hold nothing are forgotten as well.

    Raises `InvalidArgument` for a number that cannot be meant.
    """

    scope: Scope
    ended_before_seconds: float | None = None
    keep_newest: int | None = None
    includes_exceeded: bool = False
    """Whether those that were set aside after too many attempts count as ended: they wait for somebody to look."""
    dead_before_seconds: float = DEAD_SECONDS_KEPT
    is_dry: bool = False
    """Whether to count only."""
    limit: int = PURGE_LIMIT_DEFAULT

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("ended_before_seconds", "dead_before_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 <= seconds <= PURGE_SECONDS_MAX:
                raise InvalidArgument(name, seconds, f"must be from 0 to {PURGE_SECONDS_MAX:g} seconds")
        for name, least in (("keep_newest", 0), ("limit", 1)):
            number = getattr(self, name)
            if number is not None and not least <= number <= _INT8_MAX:
                raise InvalidArgument(name, number, f"must be an integer from {least} to {_INT8_MAX}")

    @property
    def is_bounded(self) -> bool:
        """Tell whether any workflow may go."""
        return self.ended_before_seconds is not None or self.keep_newest is not None

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Return the states from which a workflow goes."""
        return (*FINAL, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED) if self.includes_exceeded else FINAL


@dataclass(frozen=True, slots=True)
class ExecutorQuery:
    """Which executors to read; a field that is None does not restrict."""

    executor_ids: tuple[str, ...] | None = None
    boot_id: str | None = None
    supervisor_id: str | None = None
    states: tuple[str, ...] = field(default=("LIVE", "DRAINING"))
