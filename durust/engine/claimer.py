"""Takes queued workflows for the free slots of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from durust import clock
from durust.engine.registry import Definition, Registry
from durust.engine.service import Seconds, Service
from durust.engine.slots import Slots
from durust.engine.versions import Versions
from durust.model.claims import Claimed, Claims
from durust.model.filters import ClaimRequest, QueueWant, Scope
from durust.model.schedule_writes import SCHEDULE_QUEUE
from durust.model.writes import INTERNAL_QUEUE
from durust.settings import Settings
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# A budget that has room again in less than this is counted again after this: in between others may count it.
AGAIN_SECONDS_MIN = 0.005
# What nobody declares: recovered and directly started work waits on the one, runs of schedules in turn on the other.
ALWAYS_SERVED = (INTERNAL_QUEUE, SCHEDULE_QUEUE)


class Claimer(Service):
    """Claims at most what fits, starts it, and waits for a hint, a freed slot or the idle poll."""

    def __init__(
        self,
        *,
        provider: StateProvider,
        settings: Settings,
        registry: Registry,
        versions: Versions,
        announce: Callable[[], None],
        slots: Slots,
        executor_id: Callable[[], str],
        trusted: Callable[[], bool],
        queues: tuple[str, ...] | None,
        start: Callable[[Claimed, Definition], None],
        audit: Callable[[], None],
    ) -> None:
        super().__init__("claimer")
        self._provider, self._settings, self._registry = provider, settings, registry
        self._slots, self._start = slots, start
        self._executor_id, self._trusted = executor_id, trusted
        self._queues, self._audit = queues, audit
        self._is_hungry = False
        self._rounds = 0
        self._budgeted: frozenset[str] = frozenset()
        self._known_budgets: frozenset[str] = frozenset()
        self._versions, self._announce = versions, announce
        self.mutex = threading.Lock()
        """Held from before a claim until its runs are entered; the owner audit takes it too."""

    def slot_freed(self) -> None:
        """Look for work if the last claim left some behind."""
        if self._is_hungry:
            self.wake()

    def run_once(self) -> Seconds | None:
        """Claim once and start what came."""
        # Before the look at the slots: one that is freed from here on wakes the next round.
        self._is_hungry = True
        with self.mutex:
            if self._stopping:
                return None
            if not self._trusted():
                return self._settings.beat_seconds / 4
            claimed = self._claim()
            if claimed is None:
                return self._settings.idle_poll_seconds
            for one in claimed:
                self._start(one, self._registry.get(one.name))
        self._budgeted = claimed.budgeted
        if claimed.budgeted - self._known_budgets:
            # What runs from there may have got a share behind its back, and somebody waits for its end.
            self._known_budgets |= claimed.budgeted
            self._audit()
        if claimed:
            emit("claimed", count=len(claimed))
            return 0
        # Work may wait on a queue whose limit is reached, until something of it ends here.
        self._is_hungry = bool(claimed.limited)
        idle = self._settings.idle_poll_seconds * (0.75 + clock.jitter() / 2)
        if claimed.again_seconds is None:
            return idle
        return min(idle, max(AGAIN_SECONDS_MIN, claimed.again_seconds))

    def _claim(self) -> Claims | None:
        """Claim into the free slots; None when there is none, or no workflow to ask for."""
        free = self._slots.reserve()
        claimed = Claims()
        try:
            request = self._request(free)
            if not free or not request.scope.names:
                return None
            claimed = self._provider.claim(request)
        except Exception:
            # The answer may be lost and the claim granted all the same: the audit hands such rows back.
            self._audit()
            raise
        finally:
            self._slots.settle(free, [one.queue for one in claimed])
        return claimed

    def _request(self, free: int) -> ClaimRequest:
        # Before anything of it is claimed.
        self._announce()
        definitions = self._registry.definitions()
        served = self._served()
        # Each queue is the first in its turn, and queues with a budget come before the others every other time, so that
        # one with much work does not keep the slots from the rest for ever.
        self._rounds += 1
        turn = self._rounds % len(served)
        wants = [QueueWant(name, free, self._slots.running(name)) for name in (*served[turn:], *served[:turn])]
        return ClaimRequest(
            executor_id=self._executor_id(),
            scope=Scope(self._settings.app_name, tuple(definition.name for definition in definitions)),
            versions=tuple(map(self._versions.of, definitions)),
            queues=tuple(wants),
            limit=free,
            budgeted_first=tuple(sorted(self._budgeted)) if self._rounds % 2 else (),
        )

    def _served(self) -> list[str]:
        names = self._registry.queues() if self._queues is None else self._queues
        return [*ALWAYS_SERVED, *(name for name in names if name not in ALWAYS_SERVED)]
