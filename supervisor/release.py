"""The supervisor's thread for leases: it renews those of living workers, and releases what dead ones held.

The main loop never waits for the database: it leaves orders here and finds facts here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from durust import clock
from durust.engine.identity import is_surely_gone
from durust.engine.service import Seconds, Service
from durust.errors import ProviderUnavailable
from durust.failpoints import failpoint
from durust.model.filters import ExecutorQuery
from durust.model.writes import Alive, Beat, Released, Retire
from durust.settings import Settings
from durust.storage.provider import Hint, StateProvider, Writer
from durust.supervisor.facts import Away, Back, Facts, HandedBack, Heard, Lost, TookOver
from durust.supervisor.vitals import Page
from durust.telemetry import emit


class Patience:
    """Tells whether others may be reaped: after an outage everybody's lease has lapsed, and nobody is dead.

    A supervisor that could not beat for half a lease waits a whole lease after its first good beat. One that has just
    started knows nothing of the time before, so it waits likewise.
    """

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl_seconds = ttl_seconds
        self._last_good = float("-inf")
        self._reap_from = float("inf")

    def note_beat(self, now: float) -> None:
        """Note that a beat was confirmed."""
        if now - self._last_good > self._ttl_seconds / 2:
            self._reap_from = now + self._ttl_seconds
        self._last_good = now

    def may_reap(self, now: float) -> bool:
        """Tell whether a lapsed lease means a dead executor."""
        return now - self._last_good <= self._ttl_seconds / 2 and now >= self._reap_from


@dataclass(frozen=True, slots=True)
class Roster:
    """The executors to beat for, with their slots on the page, as the main loop saw them at an instant."""

    slots: Mapping[str, int]
    seen_at: float


class Beats(Service):
    """Renews the leases of the living in one statement, and releases what the dead held, at once."""

    def __init__(
        self, provider: StateProvider, page: Page, settings: Settings, patience: Patience, facts: Facts
    ) -> None:
        super().__init__("beats")
        self._provider, self._page, self._settings = provider, page, settings
        self._patience, self._facts = patience, facts
        self._roster = Roster({}, float("-inf"))
        self._mutex = threading.Lock()
        # Bounded by the deaths of workers, which the plan backs off; none may be forgotten.
        self._dead: dict[str, str] = {}
        self._writer: Writer | None = None
        self._beat_at = float("-inf")
        self._is_away = False
        self._is_first = True

    def enlist(self, slots: Mapping[str, int]) -> None:
        """Say for whom to beat from now on."""
        self._roster = Roster(slots, clock.monotonic())

    def retire(self, executor_id: str, why: str) -> None:
        """Declare an executor dead whose process was waited for, and release its workflows as soon as possible."""
        with self._mutex:
            self._dead[executor_id] = why
        self.wake()

    def is_idle(self) -> bool:
        """Tell whether everything that was retired is released."""
        with self._mutex:
            return not self._dead

    def run_once(self) -> Seconds:
        try:
            if self._is_first:
                self._recover()
                self._is_first = False
            self._release()
            if clock.monotonic() >= self._beat_at:
                self._beat()
        except ProviderUnavailable as error:
            if not self._is_away:
                self._is_away = True
                self._facts.add(Away(error.reason))
            raise
        if self._is_away:
            self._is_away = False
            self._facts.add(Back())
        return max(0.0, self._beat_at - clock.monotonic())

    def close(self) -> None:
        """Stop, and close the connection."""
        self.stop()
        if self._writer is not None:
            self._writer.close()

    def _connection(self) -> Writer:
        if self._writer is None:
            self._writer = self._provider.writer()
        return self._writer

    def _recover(self) -> None:
        """Release what an earlier supervisor of this host held that was killed with its workers."""
        boot_id = clock.boot_id()
        rows = self._provider.executors(ExecutorQuery(boot_id=boot_id)) if boot_id else []
        gone = tuple(row.executor_id for row in rows if is_surely_gone(row))
        if not gone:
            return
        [outcome] = self._connection().commit([Retire(gone, "its process is gone")])
        if isinstance(outcome, Released):
            self._facts.add(TookOver(len(gone), len(outcome.workflow_ids)))
            self._announce(outcome.queues)

    def _release(self) -> None:
        with self._mutex:
            dead = dict(self._dead)
        # The failpoint leaves this supervisor's dead alone, so that a test sees what then happens: nothing.
        if not dead or failpoint("supervisor.release"):
            return
        outcomes = self._connection().commit([Retire((executor_id,), why) for executor_id, why in dead.items()])
        with self._mutex:
            for executor_id in dead:
                del self._dead[executor_id]
        queues: set[str] = set()
        for executor_id, outcome in zip(dead, outcomes, strict=True):
            if isinstance(outcome, Released):
                queues |= outcome.queues
                self._facts.add(HandedBack(executor_id, len(outcome.workflow_ids)))
        self._announce(queues)

    def _announce(self, queues: Iterable[str]) -> None:
        hints = tuple(Hint("queue", name) for name in sorted(queues))
        if hints:
            # To this host's workers at once, to others through the database.
            self._facts.add(Heard(hints))
            self._provider.announce(hints)

    def _beat(self) -> None:
        roster = self._roster
        # A main loop that stands still no longer knows who lives, so nobody's lease is renewed in its name.
        is_stale = clock.monotonic() - roster.seen_at > self._settings.lease_seconds / 2
        slots = {} if is_stale else roster.slots
        sent_at = clock.boottime()
        # Also with nobody to beat for: it is how this supervisor knows that the database is there.
        [outcome] = self._connection().commit([Beat(tuple(slots), self._settings.lease_seconds)])
        self._beat_at = clock.monotonic() + self._settings.beat_seconds
        self._patience.note_beat(clock.boottime())
        if not isinstance(outcome, Alive):
            emit("service_failed", service=self.name, error=repr(outcome))
            return
        for executor_id in outcome.executor_ids:
            # Should the slot have been given to a younger worker meanwhile: that one's own first lease is later.
            self._page.confirm(slots[executor_id], sent_at)
        lost = frozenset(slots) - outcome.executor_ids
        if lost:
            self._facts.add(Lost(lost))
