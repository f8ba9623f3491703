"""The supervisor's side of the database: threads that beat, release, sweep, fire, listen, and what they found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from durust import clock
from durust.engine.hints import Ear
from durust.engine.retention import Retention, retention_request
from durust.engine.scheduler import Scheduler
from durust.engine.sweeper import Sweeper
from durust.failpoints import failpoint
from durust.model.filters import Scope, SweepRequest
from durust.model.sweeps import Swept
from durust.settings import Settings
from durust.storage.provider import Hint, StateProvider
from durust.supervisor.beats import Beats, Patience
from durust.supervisor.facts import Fact, Facts, Heard, Orphaned, TookOver
from durust.supervisor.release import Releases
from durust.supervisor.vitals import Page


class Database:
    """Does what needs the database, while the main loop goes on."""

    def __init__(
        self,
        provider: StateProvider,
        supervisor_id: str,
        settings: Settings,
        page: Page,
        wake: Callable[[], None],
    ) -> None:
        self._provider, self._supervisor_id = provider, supervisor_id
        self._facts = Facts(wake)
        self._patience = Patience(settings.lease_seconds)
        self._beats = Beats(provider, page, settings, self._patience, self._facts)
        self._releases = Releases(provider, self._facts)
        self._sweeper = Sweeper(provider, settings.sweep_seconds, self._request, self._swept)
        self._retention = Retention(provider, lambda: retention_request(settings, self._known_scope()))
        self._scheduler = Scheduler(provider, lambda: self._scope, self._tell)
        self._scope: Scope | None = None
        # One subscription for all workers of this host.
        self._ear = Ear(provider.listen(), self._hear)

    def start(self) -> None:
        """Start to beat and to listen. Sweep and schedules wait until a worker has told whose rows are meant."""
        self._beats.start()
        self._releases.start()
        self._ear.start()

    def sweep(self, scope: Scope) -> None:
        """Sweep these rows from now on, and fire their schedules."""
        is_first, self._scope = self._scope is None, scope
        if is_first:
            self._sweeper.start()
            self._retention.start()
            self._scheduler.start()

    def enlist(self, slots: Mapping[str, int]) -> None:
        """Beat for these executors from now on; each has a slot on the page."""
        self._beats.enlist(slots)

    def retire(self, executor_id: str, why: str) -> None:
        """Declare an executor dead whose process was waited for, and release its workflows as soon as possible."""
        self._releases.retire(executor_id, why)

    def is_idle(self) -> bool:
        """Tell whether everything that was retired is released."""
        return self._releases.is_idle()

    def facts(self) -> list[Fact]:
        """Return what was found out since the last time."""
        return self._facts.take()

    def close(self) -> None:
        """Stop all threads and close their connections."""
        self._ear.stop()
        self._scheduler.stop()
        self._sweeper.stop()
        self._retention.stop()
        self._releases.close()
        self._beats.close()

    def _known_scope(self) -> Scope:
        if self._scope is None:
            raise RuntimeError("the sweep was started before its scope was known")
        return self._scope

    def _request(self) -> SweepRequest:
        # The failpoint leaves the dead of other hosts alone, so that a test sees what then happens: nothing.
        reap = self._patience.may_reap(clock.boottime()) and not failpoint("supervisor.reap")
        return SweepRequest(self._supervisor_id, self._known_scope(), reap=reap)

    def _swept(self, swept: Swept) -> None:
        if swept.reaped:
            self._facts.add(TookOver(len(swept.reaped), swept.released))
        if swept.orphans:
            self._facts.add(Orphaned(swept.orphans))
        ended = (Hint("workflow"),) if swept.timed_out else ()
        hints = (*ended, *(Hint("queue", name) for name in sorted(swept.queues)))
        if hints:
            self._tell(hints)

    def _tell(self, hints: Sequence[Hint]) -> None:
        # To this host's workers at once, to others through the database.
        self._facts.add(Heard(tuple(hints)))
        self._provider.announce(hints)

    def _hear(self, hint: Hint) -> None:
        self._scheduler.hear(hint)
        if hint.kind == "foreign":
            self._sweeper.expect(0)
        self._facts.add(Heard((hint,)))
