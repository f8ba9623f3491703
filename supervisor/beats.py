"""The leases of living workers, and how long their supervisor has been able to renew them.

The main loop never waits for the database: it says for whom to beat, and finds facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from durust import clock
from durust.engine.service import Seconds, Service
from durust.errors import ProviderUnavailable
from durust.model.writes import Alive, Beat
from durust.settings import Settings
from durust.storage.provider import StateProvider, Writer
from durust.supervisor.facts import Away, Back, Facts, Lost
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
    """Renews the leases of the living in one statement."""

    def __init__(
        self, provider: StateProvider, page: Page, settings: Settings, patience: Patience, facts: Facts
    ) -> None:
        super().__init__("beats")
        self._provider, self._page, self._settings = provider, page, settings
        self._patience, self._facts = patience, facts
        self._roster = Roster({}, float("-inf"))
        self._writer: Writer | None = None
        self._is_away = False

    def enlist(self, slots: Mapping[str, int]) -> None:
        """Say for whom to beat from now on: executor ids with their slots on the page."""
        self._roster = Roster(slots, clock.monotonic())

    def run_once(self) -> Seconds:
        """Beat once."""
        try:
            self._beat()
        except ProviderUnavailable as error:
            if not self._is_away:
                self._is_away = True
                self._facts.add(Away(error.reason))
            raise
        if self._is_away:
            self._is_away = False
            self._facts.add(Back())
        return self._settings.beat_seconds

    def close(self) -> None:
        """Stop, and close the connection."""
        self.stop()
        if self._writer is not None:
            self._writer.close()

    def _beat(self) -> None:
        roster = self._roster
        # A main loop that stands still no longer knows who lives, so nobody's lease is renewed in its name.
        is_stale = clock.monotonic() - roster.seen_at > self._settings.lease_seconds / 2
        slots = {} if is_stale else roster.slots
        if self._writer is None:
            self._writer = self._provider.writer()
        sent_at = clock.boottime()
        # Also with nobody to beat for: it is how this supervisor knows that the database is there.
        [outcome] = self._writer.commit([Beat(tuple(slots), self._settings.lease_seconds)])
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
