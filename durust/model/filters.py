"""What a reader, a claimer or a sweeper asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from durust.errors import InvalidArgument
from durust.model import criteria
from durust.model.attributes import dump_attributes, load_attributes
from durust.model.criteria import INT8_MAX, Cursor
from durust.model.records import WorkflowRow
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


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows: those of this application, and rows that name none, but these only for workflow names known here."""

    app_name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which workflows to list: every field that is set must match; one value or several, of which any may match.

    Times are aware datetimes: from `..._from` on and before `..._before`. `attributes` is a JSON object that the
    workflow's own must hold: each name with a value that holds the other one, as the `@>` of Postgres says it.

    The order is by creation, then by id. `limit` and `offset` cut a page out of it. With *after*, the last row of the
    page before, a page begins behind that row whatever was inserted or removed meanwhile, and is found by an index.

    Raises `InvalidArgument` for what cannot be meant: an unknown state, a number below zero, a datetime without a zone.
    """

    workflow_ids: Sequence[str] | None = None
    names: Sequence[str] | None = None
    statuses: Sequence[str] | None = None
    """Members of `Status`, or their names."""
    queues: Sequence[str] | None = None
    is_queued: bool = False
    """Only rows of a queue that have not ended."""
    executor_ids: Sequence[str] | None = None
    app_names: Sequence[str] | None = None
    scope: Scope | None = None
    app_versions: Sequence[str] | None = None
    versions_not: Sequence[str] | None = None
    """Only rows that carry a version, and none of these."""
    is_stranded: bool = False
    """Only rows that wait for a version which no LIVE executor of their application has."""
    id_prefix: Sequence[str] | None = None
    authenticated_users: Sequence[str] | None = None
    parent_ids: Sequence[str] | None = None
    """Only children of these workflows."""
    has_parent: bool | None = None
    """Only children, or with False only workflows that are nobody's child."""
    forked_from: Sequence[str] | None = None
    """Only forks of these workflows."""
    was_forked_from: bool | None = None
    """Only workflows of which there are forks, or with False only the others."""
    dedup_ids: Sequence[str] | None = None
    schedule_names: Sequence[str] | None = None
    partition_keys: Sequence[str] | None = None
    priorities: int | Sequence[int] | None = None
    attributes: Mapping[str, Any] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    started_from: datetime | None = None
    """By the last claim from a queue; a workflow that was started where it runs has none."""
    started_before: datetime | None = None
    completed_from: datetime | None = None
    completed_before: datetime | None = None
    deadline_from: datetime | None = None
    deadline_before: datetime | None = None
    newest_first: bool = False
    load_input: bool = False
    load_output: bool = False
    limit: int = LIST_LIMIT_DEFAULT
    offset: int = 0
    after: WorkflowRow | Cursor | None = None

    def __post_init__(self) -> None:
        """Bring each field into its one form, and refuse what no two databases would take alike."""
        for name in TEXT_FIELDS:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, criteria.texts(name, given))
        if self.statuses is not None:
            object.__setattr__(self, "statuses", criteria.statuses("statuses", self.statuses))
        if self.priorities is not None:
            object.__setattr__(self, "priorities", criteria.numbers("priorities", self.priorities))
        for name in _INSTANTS:
            if (instant := getattr(self, name)) is not None:
                criteria.check_instant(name, instant)
        criteria.check_count("limit", self.limit)
        criteria.check_count("offset", self.offset)
        criteria.check_truth("has_parent", self.has_parent)
        criteria.check_truth("was_forked_from", self.was_forked_from)
        if self.attributes is not None:
            text = dump_attributes(self.attributes, may_remove=True)
            # A copy, because whoever made the filter may go on with his own.
            object.__setattr__(self, "attributes", load_attributes(text))
        if self.after is not None:
            object.__setattr__(self, "after", criteria.cursor(self.after))

    @property
    def cursor(self) -> Cursor | None:
        """Return the place behind which the page begins."""
        return criteria.cursor(self.after)

    @property
    def priority_texts(self) -> tuple[str, ...] | None:
        """Return the priorities as statements compare them."""
        return None if self.priorities is None else tuple(map(str, criteria.numbers("priorities", self.priorities)))

    @property
    def attributes_text(self) -> str | None:
        """Return the attributes as JSON."""
        return None if self.attributes is None else dump_attributes(self.attributes, may_remove=True)

    def window_ms(self, name: str) -> tuple[int | None, int | None]:
        """Return a window of time in epoch milliseconds, from the first on and before the second."""
        begin, end = getattr(self, _ENDS[name][0]), getattr(self, _ENDS[name][1])
        return criteria.milliseconds(begin), criteria.milliseconds(end)


TEXT_FIELDS = (
    "workflow_ids",
    "names",
    "queues",
    "executor_ids",
    "app_names",
    "app_versions",
    "versions_not",
    "id_prefix",
    "authenticated_users",
    "parent_ids",
    "forked_from",
    "dedup_ids",
    "schedule_names",
    "partition_keys",
)
"""The fields that take texts."""
WINDOWS = ("created", "started", "completed", "deadline")
"""The times of a row that a window is cut from."""
# A filter is made for each result that is asked for, so the names are put together once.
_ENDS = {window: (f"{window}_from", f"{window}_before") for window in WINDOWS}
_INSTANTS = tuple(name for ends in _ENDS.values() for name in ends)


def filter_of(query: Any, scope: Callable[[], Scope]) -> ListFilter:
    """Return the filter that a caller gave, or without one that of all rows in scope. Raises `InvalidArgument`."""
    if query is None:
        return ListFilter(scope=scope())
    if not isinstance(query, ListFilter):
        raise InvalidArgument("query", query, "must be a ListFilter, as in ListFilter(names='checkout')")
    return query


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
            if number is not None and not least <= number <= INT8_MAX:
                raise InvalidArgument(name, number, f"must be an integer from {least} to {INT8_MAX}")

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
