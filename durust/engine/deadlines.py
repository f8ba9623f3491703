"""Ends the runs of this process whose time is over, by asking the database, which alone knows that."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from durust import clock
from durust.engine.journal import Journal
from durust.engine.service import Seconds, Service
from durust.engine.ticket import ThreadTicket
from durust.model.records import Lease
from durust.model.writes import ExpireWorkflow, Outcome, Recorded, Unexpired
from durust.routines.run import Verdict

# Timers of runs that ended are dropped when they are more than half of all, and more than this.
STALE_MIN = 64


class Deadlines(Service):
    """One heap for all runs; its thread sleeps until the first is due, and for ever while no run has a deadline.

    A timer is a duration counted from the claim, so no calendar is asked; it is a hint, because the sweep of any
    process ends what this one does not.
    """

    def __init__(self, journal: Journal, close: Callable[[Lease, Verdict], None]) -> None:
        super().__init__("deadlines")
        self._journal, self._close = journal, close
        self._mutex = threading.Lock()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str, Lease]] = []

    def watch(self, lease: Lease, seconds: float) -> None:
        """Ask, after *seconds*, whether the run's time is over."""
        due = clock.monotonic() + seconds
        with self._mutex:
            self._due[lease.token] = due
            heapq.heappush(self._heap, (due, lease.token, lease))
            is_first = self._heap[0][1] == lease.token
        if is_first:
            self.wake()

    def forget(self, lease: Lease) -> None:
        """Ask no more: the run has ended."""
        with self._mutex:
            if self._due.pop(lease.token, None) is None:
                return
            if len(self._heap) > max(STALE_MIN, 2 * len(self._due)):
                self._heap = [timer for timer in self._heap if self._due.get(timer[1]) == timer[0]]
                heapq.heapify(self._heap)

    def run_once(self) -> Seconds | None:
        """Ask for all that are due, in one commit where that goes; return how long until the next."""
        asked = []
        for lease in self._take_due():
            ticket = ThreadTicket()
            self._journal.submit_blocking(ExpireWorkflow(lease), ticket)
            asked.append((lease, ticket))
        for lease, ticket in asked:
            self._settle(lease, ticket.wait())
        return self._pause()

    def _settle(self, lease: Lease, outcome: Outcome) -> None:
        match outcome:
            case Recorded():
                self._close(lease, Verdict.CANCELLED)
            case Unexpired(left_ms):
                if left_ms is not None:
                    self.watch(lease, left_ms / 1000)
            case _:
                self._close(lease, Verdict.FENCED)

    def _take_due(self) -> list[Lease]:
        now = clock.monotonic()
        due = []
        with self._mutex:
            while self._heap and (self._heap[0][0] <= now or self._is_stale()):
                at, token, lease = heapq.heappop(self._heap)
                if self._due.get(token) == at:
                    del self._due[token]
                    due.append(lease)
        return due

    def _pause(self) -> Seconds | None:
        with self._mutex:
            while self._heap and self._is_stale():
                heapq.heappop(self._heap)
            return max(0.0, self._heap[0][0] - clock.monotonic()) if self._heap else None

    def _is_stale(self) -> bool:
        at, token, _ = self._heap[0]
        return self._due.get(token) != at
