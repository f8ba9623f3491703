"""The seam between durust and a database: a batch of writes in, a batch of outcomes out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from durust.model.claims import Claims
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import Checkpoint, ExecutorRow, MessageRow, QueueRow, StoredSchedules, VersionRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.model.sweeps import Purged, Swept
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.model.writes import Outcome, Write
from durust.storage.transactions import OpenTransaction


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed that somebody may be waiting for. A hint may be lost or repeated: a poll stands behind it."""

    kind: str
    """`queue` (it got work), `workflow` (one ended), `cancel` (of that id), `schedule` (one changed), or `any`.

    What came for somebody is a `message`, `event` or `stream`, named by its workflow and its topic or key, and
    `foreign` where another library or plain SQL wrote something of that kind.
    """
    key: str = ""


class Writer(Protocol):
    """A connection of its own that commits batches. It belongs to one thread."""

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commit *writes* in one transaction and answer an outcome for each, in their order.

        A write never fails its neighbours and never raises for a business reason. Transient faults (serialization,
        deadlock, a lost connection) are answered by sending the whole batch again within a bound; past it
        `ProviderUnavailable` is raised, and sending the same batch again later is safe.
        """

    def close(self) -> None:
        """Close the connection. Idempotent."""


class Listener(Protocol):
    """A subscription to hints. It belongs to one thread, except for `wake`."""

    def wait(self, timeout_seconds: float) -> list[Hint]:
        """Return the hints that came in, or an empty list after *timeout_seconds*. Never raises for a lost database."""

    def wake(self) -> None:
        """Make a `wait` of another thread return at once."""

    def close(self) -> None:
        """Close the subscription. Idempotent."""


@runtime_checkable
class StateProvider(Protocol):
    """A database that holds durust's state. All methods block and all may be called from any thread.

    Each raises `ProviderUnavailable` when the database is away, and nothing else for a fault of the database.
    """

    @property
    def name(self) -> str:
        """Name the provider and its database for a reader, without its password."""

    @property
    def location(self) -> str:
        """Return what tells this database from others, as a `Datasource` of the same one says it too."""

    @property
    def is_shared(self) -> bool:
        """Tell whether several processes can use the same state."""

    def migrate(self) -> None:
        """Bring the schema up to this release; concurrent migrators are safe.

        Raises `SchemaMismatch` for a database that does not fit, which is then left as it was.
        """

    def check(self) -> None:
        """Verify that the schema is one this release can serve, changing nothing. Raises `SchemaMismatch`."""

    def writer(self) -> Writer:
        """Open a writer."""

    def claim(self, request: ClaimRequest) -> Claims:
        """Claim queued workflows for an executor that is LIVE with a valid lease; skip what others hold.

        The limits of a queue are those that are stored at that moment. A budget that all executors share is counted
        while nobody else counts it, so it is never exceeded.

        Histories are loaded in a statement after the claim has committed.
        """

    def sweep(self, request: SweepRequest) -> Swept:
        """Queue what is due, reap executors whose lease has lapsed, release what nobody holds."""

    def purge(self, request: PurgeRequest) -> Purged:
        """Remove one batch of ended workflows with all that belongs to them, each whole or not at all."""

    def history(self, workflow_ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        """Read the recorded steps of workflows, ordered by (completed_at_ms, place); an unknown id has none."""

    def events(self, workflow_id: str) -> dict[str, StoredValue]:
        """Read the events of a workflow, each with its latest value; an unknown id has none."""

    def streams(self, workflow_id: str) -> dict[str, tuple[StreamEntry, ...]]:
        """Read the streams of a workflow whole, each in its order; an unknown id has none."""

    def messages(self, workflow_id: str) -> list[MessageRow]:
        """Read all messages to a workflow, the oldest first, received or not."""

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        """Read a workflow as a whole, at one moment, and where asked for its descendants; none if it is not there.

        The workflow comes first, the others by their creation.
        """

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        """Read workflow rows."""

    def counts(self, query: CountQuery) -> list[WorkflowCount]:
        """Count workflows by what they have in common."""

    def step_counts(self, query: StepQuery) -> list[StepCount]:
        """Count completed steps by their name."""

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        """Read what there is of things that are waited for: nothing stands for what has not come.

        Of a result its ending, of a result or stream without its workflow `Gone`; of a stream what follows from the
        offset on, once there is something or its writer has ended; of a message only that one is there.
        """

    def executors(self, query: ExecutorQuery) -> list[ExecutorRow]:
        """Read executor rows."""

    def open_grants(self, executor_id: str) -> list[str]:
        """Read the tokens of the claims by which an executor holds shares of budgets."""

    def queues(self) -> list[QueueRow]:
        """Read the stored queue definitions."""

    def standing(self, request: StandingRequest) -> Standing | None:
        """Read how things stand for one workflow; None for one that does not exist."""

    def schedules(self) -> StoredSchedules:
        """Read all stored schedules, with the database's time."""

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        """Read the registered versions of an application, the latest first."""

    def transaction(self, isolation: str) -> AbstractContextManager[OpenTransaction]:
        """Open a transaction on a connection for a user's function; leaving rolls back what was not recorded.

        Raises `Transient` where trying again is right, and `ProviderMisuse` where there are no connections to lend.
        """

    def announce(self, hints: Sequence[Hint]) -> None:
        """Send hints to the listeners of all processes, after the commit they speak of. Losing them is harmless."""

    def listen(self) -> Listener:
        """Subscribe to hints."""

    def close(self) -> None:
        """Close every connection. Idempotent."""
