"""A provider that can be cut off from its database, as by the death of its process or a fault of the network."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from durust.errors import ProviderUnavailable
from durust.model.claims import Claims
from durust.model.copies import WorkflowCopy
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, SweepRequest
from durust.model.records import Checkpoint, ExecutorRow, MessageRow, QueueRow, StoredSchedules, VersionRow, WorkflowRow
from durust.model.standing import Standing, StandingRequest
from durust.model.sweeps import Purged, Swept
from durust.model.waits import Awaited, Found, StoredValue, StreamEntry
from durust.model.writes import Outcome, Write
from durust.storage.provider import Hint, Listener, StateProvider, Writer
from durust.storage.transactions import OpenTransaction

T = TypeVar("T")


class Line:
    """Passes everything on to the provider behind it, counts the calls, and can be cut and mended."""

    def __init__(self, behind: StateProvider) -> None:
        self.behind = behind
        self.calls: Counter[str] = Counter()
        self.batches: list[tuple[Write, ...]] = []
        """What reached the database, batch by batch."""
        self.lost_answers: Counter[str] = Counter()
        """How many answers of each call are still to be lost: the database does it and the caller never hears."""
        self.refusals: dict[type[Write], Exception] = {}
        """What the database answers to a batch that holds a write of such a type."""
        self._is_cut = threading.Event()
        self._is_free = threading.Event()
        self._is_free.set()

    def hold(self) -> None:
        """From now on nothing is answered."""
        self._is_free.clear()

    def let_go(self) -> None:
        """From now on everything is answered, late."""
        self._is_free.set()

    def cut(self) -> None:
        """From now on nothing gets through."""
        self._is_cut.set()

    def mend(self) -> None:
        """From now on everything gets through again."""
        self._is_cut.clear()

    def pass_on(self, call: str, ask: Callable[[], T]) -> T:
        """Ask what is behind the line, unless it is cut."""
        self._demand_whole()
        self._is_free.wait()
        self.calls[call] += 1
        answer = ask()
        if self.lost_answers[call]:
            self.lost_answers[call] -= 1
            raise ProviderUnavailable(self.name, f"the answer to {call} was lost")
        self._demand_whole()
        return answer

    def _demand_whole(self) -> None:
        if self._is_cut.is_set():
            raise ProviderUnavailable(self.name, "the line is cut")

    @property
    def name(self) -> str:
        return self.behind.name

    @property
    def location(self) -> str:
        return self.behind.location

    @property
    def is_shared(self) -> bool:
        return self.behind.is_shared

    def migrate(self) -> None:
        self.pass_on("migrate", self.behind.migrate)

    def check(self) -> None:
        self.pass_on("check", self.behind.check)

    def writer(self) -> Writer:
        return _LineWriter(self, self.behind.writer())

    def claim(self, request: ClaimRequest) -> Claims:
        return self.pass_on("claim", lambda: self.behind.claim(request))

    def sweep(self, request: SweepRequest) -> Swept:
        return self.pass_on("sweep", lambda: self.behind.sweep(request))

    def purge(self, request: PurgeRequest) -> Purged:
        return self.pass_on("purge", lambda: self.behind.purge(request))

    def history(self, workflow_ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        return self.pass_on("history", lambda: self.behind.history(workflow_ids))

    def events(self, workflow_id: str) -> dict[str, StoredValue]:
        return self.pass_on("events", lambda: self.behind.events(workflow_id))

    def streams(self, workflow_id: str) -> dict[str, tuple[StreamEntry, ...]]:
        return self.pass_on("streams", lambda: self.behind.streams(workflow_id))

    def messages(self, workflow_id: str) -> list[MessageRow]:
        return self.pass_on("messages", lambda: self.behind.messages(workflow_id))

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        return self.pass_on("copies", lambda: self.behind.copies(workflow_id, children=children))

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        return self.pass_on("workflows", lambda: self.behind.workflows(query))

    def counts(self, query: CountQuery) -> list[WorkflowCount]:
        return self.pass_on("counts", lambda: self.behind.counts(query))

    def step_counts(self, query: StepQuery) -> list[StepCount]:
        return self.pass_on("step_counts", lambda: self.behind.step_counts(query))

    def values(self, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
        return self.pass_on("values", lambda: self.behind.values(awaited))

    def executors(self, query: ExecutorQuery) -> list[ExecutorRow]:
        return self.pass_on("executors", lambda: self.behind.executors(query))

    def open_grants(self, executor_id: str) -> list[str]:
        return self.pass_on("open_grants", lambda: self.behind.open_grants(executor_id))

    def queues(self) -> list[QueueRow]:
        return self.pass_on("queues", self.behind.queues)

    def standing(self, request: StandingRequest) -> Standing | None:
        return self.pass_on("standing", lambda: self.behind.standing(request))

    def schedules(self) -> StoredSchedules:
        return self.pass_on("schedules", self.behind.schedules)

    def versions(self, app_name: str, limit: int) -> list[VersionRow]:
        return self.pass_on("versions", lambda: self.behind.versions(app_name, limit))

    def transaction(self, isolation: str) -> AbstractContextManager[OpenTransaction]:
        return self.pass_on("transaction", lambda: self.behind.transaction(isolation))

    def announce(self, hints: Sequence[Hint]) -> None:
        self.pass_on("announce", lambda: self.behind.announce(hints))

    def listen(self) -> Listener:
        return self.behind.listen()

    def close(self) -> None:
        self.behind.close()


class _LineWriter:
    def __init__(self, line: Line, behind: Writer) -> None:
        self._line, self._behind = line, behind

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        def ask() -> list[Outcome]:
            self._line.batches.append(tuple(writes))
            for write in writes:
                if type(write) in self._line.refusals:
                    raise self._line.refusals[type(write)]
            return self._behind.commit(writes)

        return self._line.pass_on("commit", ask)

    def close(self) -> None:
        self._behind.close()
