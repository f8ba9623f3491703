"""The supervisor's threads for the database: leases of the living, release of the dead, the sweep of what is due.

The main loop never waits for the database: it leaves orders here and finds facts here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from durust import clock
from durust.engine.service import Seconds, Service
from durust.errors import ProviderUnavailable
from durust.model.filters import Scope, SweepRequest
from durust.model.writes import Alive, Beat, Released, Retire
from durust.settings import Settings
from durust.storage.provider import Hint, StateProvider, Writer
from durust.supervisor.vitals import Page
from durust.telemetry import emit

# Facts that the main loop has not read yet; it reads all of them several times a second.
FACTS_MAX = 4096
# A sweep that finds something due in this instant still leaves the database a breath.
SWEEP_SECONDS_MIN = 0.01


@dataclass(frozen=True, slots=True)
class Lost:
    """A beat did not bring these executors back: somebody reaped them."""

    executor_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A dead executor's workflows are queued again."""

    executor_id: str
    workflows: int


@dataclass(frozen=True, slots=True)
class TookOver:
    """Executors of others whose lease had ended were reaped."""

    executors: int
    workflows: int


@dataclass(frozen=True, slots=True)
class Orphaned:
    """Rows of dead executors were found that nobody had released: a bug, healed."""

    workflows: int


@dataclass(frozen=True, slots=True)
class Away:
    """The database does not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """The database answers again."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something changed that workers may be waiting for."""

    hints: tuple[Hint, ...]


Fact = Lost | HandedBack | TookOver | Orphaned | Away | Back | Heard


class Facts:
    """What the database threads found out, for the main loop. Safe for all threads."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._facts: deque[Fact] = deque(maxlen=FACTS_MAX)
        self._wake = wake

    def add(self, fact: Fact) -> None:
        """Add a fact and wake the main loop."""
        self._facts.append(fact)
        self._wake()

    def take(self) -> list[Fact]:
        """Return the facts that nobody has taken yet."""
        return [self._facts.popleft() for _ in range(len(self._facts))]


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
        self.is_away = False

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
            self._release()
            if clock.monotonic() >= self._beat_at:
                self._beat()
        except ProviderUnavailable as error:
            if not self.is_away:
                self.is_away = True
                self._facts.add(Away(error.reason))
            raise
        if self.is_away:
            self.is_away = False
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

    def _release(self) -> None:
        with self._mutex:
            dead = dict(self._dead)
        if not dead:
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
        announce(self._provider, self._facts, queues)

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


class Sweeps(Service):
    """Queues what is due, and takes over from executors whose lease has ended."""

    def __init__(
        self, provider: StateProvider, supervisor_id: str, settings: Settings, patience: Patience, facts: Facts
    ) -> None:
        super().__init__("sweeps")
        self._provider, self._supervisor_id, self._settings = provider, supervisor_id, settings
        self._patience, self._facts = patience, facts
        self.scope: Scope | None = None
        """Whose rows to sweep, once a worker has told."""

    def run_once(self) -> Seconds:
        cadence = self._settings.sweep_seconds * (0.75 + clock.jitter() / 2)
        if self.scope is None:
            return cadence
        reap = self._patience.may_reap(clock.boottime())
        swept = self._provider.sweep(SweepRequest(self._supervisor_id, self.scope, reap=reap))
        if swept.reaped:
            self._facts.add(TookOver(len(swept.reaped), swept.released))
        if swept.orphans:
            emit("orphans_released", count=swept.orphans)
            self._facts.add(Orphaned(swept.orphans))
        announce(self._provider, self._facts, swept.queues)
        if swept.more:
            return SWEEP_SECONDS_MIN
        due = cadence if swept.next_due_seconds is None else max(SWEEP_SECONDS_MIN, swept.next_due_seconds)
        return min(cadence, due)


class Relay(Service):
    """Listens to the database once for the whole host."""

    def __init__(self, provider: StateProvider, facts: Facts, poll_seconds: float) -> None:
        super().__init__("relay")
        self._listener = provider.listen()
        self._facts, self._poll_seconds = facts, poll_seconds

    def run_once(self) -> Seconds:
        hints = self._listener.wait(self._poll_seconds)
        if hints:
            self._facts.add(Heard(tuple(hints)))
        return 0

    def close(self) -> None:
        """Stop, and close the subscription."""
        self._stopping = True
        self._listener.wake()
        self.stop()
        self._listener.close()


def announce(provider: StateProvider, facts: Facts, queues: Iterable[str]) -> None:
    """Tell everybody, on this host and on others, that these queues got work."""
    hints = tuple(Hint("queue", name) for name in sorted(queues))
    if hints:
        facts.add(Heard(hints))
        provider.announce(hints)
