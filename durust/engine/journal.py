"""Group commit: many callers, one writer, one transaction a batch."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from durust import clock
from durust.engine.ticket import ThreadTicket, Ticket, deliver
from durust.errors import ProviderUnavailable
from durust.model.writes import Outcome, Write
from durust.storage import lent
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# One transaction of this many writes takes tens of milliseconds; more would only add latency to the first of them.
BATCH_WRITES_MAX = 2048
# Past this the callers wait: memory stays bounded when the database is away.
QUEUE_WRITES_MAX = 16_384
# The first try again after the database went away, and the longest pause: work resumes within 3 s of its return.
AWAY_PAUSE_SECONDS = 0.05
AWAY_PAUSE_SECONDS_MAX = 1.0
# A caller with a patience of its own waits only so long for a file that one function of this process holds all the
# time: a thread of that function waits for itself. As long as SQLite's writers wait for each other.
LENT_SECONDS = 10.0

Committed = Callable[[Sequence[Write], Sequence[Outcome]], None]


class Journal:
    """Commits what gathered during the last commit: no timer and no knob.

    One lone write of a thread is committed by that thread itself, so that it pays no second thread's wake-up.
    """

    def __init__(self, provider: StateProvider, committed: Committed) -> None:
        self._writer = provider.writer()
        self._location = provider.location
        self._committed = committed
        self._mutex = threading.Lock()
        self._room = threading.Condition(self._mutex)
        self._queue: list[tuple[Write, Ticket]] = []
        self._commit_mutex = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="durust-journal", daemon=True)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def is_full(self) -> bool:
        """Tell whether a coroutine should hold its next write back."""
        return len(self._queue) >= QUEUE_WRITES_MAX

    def submit(self, write: Write, ticket: Ticket) -> None:
        """Queue a write; its ticket is settled after the commit."""
        with self._mutex:
            is_queued = self._enter(write, ticket)
        if not is_queued:
            ticket.settle(_gone())
            deliver([ticket])

    def submit_blocking(self, write: Write, ticket: Ticket) -> None:
        """Queue a write from a thread, which waits while the queue is full."""
        with self._mutex:
            while len(self._queue) >= QUEUE_WRITES_MAX and not self._closed:
                self._room.wait()
            # Under the same lock, so that those who wake together do not all take the one free place.
            is_queued = self._enter(write, ticket)
        if not is_queued:
            ticket.settle(_gone())
            deliver([ticket])

    def commit(self, write: Write, timeout_seconds: float | None = None) -> Outcome:
        """Commit a write and return its outcome; a thread that finds the journal idle does it itself.

        Raises `ProviderUnavailable` once the journal is closed, or after *timeout_seconds*: the write may then still
        be committed later, and may be sent again. Raises `ProviderMisuse` where the caller holds what it would wait
        for.
        """
        lent.demand_free(self._location)
        if not self._queue and self._commit_mutex.acquire(blocking=False):
            try:
                if not self._queue and not self._closed:
                    return self._commit_batch([write], timeout_seconds)[0]
            finally:
                self._commit_mutex.release()
        ticket = ThreadTicket()
        self.submit_blocking(write, ticket)
        return self._wait(ticket, timeout_seconds)

    def commit_all(self, writes: Sequence[Write], timeout_seconds: float) -> list[Outcome]:
        """Commit many writes and return their outcomes in order; raises like `commit`.

        They go in parts of what one commit takes, each with its own patience, so that a list of any length is held up
        no longer than its callers expect.
        """
        if len(writes) == 1:
            return [self.commit(writes[0], timeout_seconds)]
        lent.demand_free(self._location)
        outcomes: list[Outcome] = []
        for begin in range(0, len(writes), BATCH_WRITES_MAX):
            tickets = []
            for write in writes[begin : begin + BATCH_WRITES_MAX]:
                ticket = ThreadTicket()
                self.submit_blocking(write, ticket)
                tickets.append(ticket)
            outcomes += [self._wait(ticket, timeout_seconds) for ticket in tickets]
        return outcomes

    def _wait(self, ticket: ThreadTicket, timeout_seconds: float | None) -> Outcome:
        if timeout_seconds is None:
            return ticket.wait()
        loan = lent.current(self._location)
        begun = clock.monotonic()
        if loan is not None and timeout_seconds > LENT_SECONDS:
            with suppress(TimeoutError):
                return ticket.wait(LENT_SECONDS)
            if lent.current(self._location) is loan:
                raise ProviderUnavailable(self._location, f"no commit within {LENT_SECONDS:g} s: {lent.HELD}")
        try:
            return ticket.wait(max(0.0, begun + timeout_seconds - clock.monotonic()))
        except TimeoutError:
            raise ProviderUnavailable("the database", f"no commit within {timeout_seconds:g} s") from None

    def close(self) -> None:
        """Commit what is queued, then stop; writes that cannot be committed now fail with `ProviderUnavailable`."""
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._mutex:
            self._closed = True
            left, self._queue = self._queue, []
            self._room.notify_all()
        for _, ticket in left:
            ticket.settle(_gone())
        deliver(ticket for _, ticket in left)
        with self._commit_mutex:
            self._writer.close()

    def _enter(self, write: Write, ticket: Ticket) -> bool:
        if self._closed:
            return False
        self._queue.append((write, ticket))
        if len(self._queue) == 1:
            self._wake.set()
        return True

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                with self._commit_mutex:
                    self._commit_queued()
            if self._closing.is_set():
                return

    def _commit_queued(self) -> None:
        with self._mutex:
            batch, self._queue = self._queue[:BATCH_WRITES_MAX], self._queue[BATCH_WRITES_MAX:]
            self._room.notify_all()
        if not batch:
            return
        answers: Sequence[Outcome | BaseException]
        try:
            answers = self._commit_batch([write for write, _ in batch])
        except Exception as error:  # noqa: BLE001  a batch's error belongs to its callers, never to the writer thread
            answers = [error] * len(batch)
        for (_, ticket), answer in zip(batch, answers, strict=True):
            ticket.settle(answer)
        deliver(ticket for _, ticket in batch)

    def _commit_batch(self, writes: list[Write], timeout_seconds: float | None = None) -> list[Outcome]:
        """Commit, again and again while the database is away: each write is idempotent by its key."""
        pause = AWAY_PAUSE_SECONDS
        deadline = math.inf if timeout_seconds is None else clock.monotonic() + timeout_seconds
        while True:
            try:
                outcomes = self._writer.commit(writes)
            except ProviderUnavailable as error:
                is_own = timeout_seconds is not None and lent.current(self._location) is not None
                if is_own or self._closing.is_set() or clock.monotonic() >= deadline:
                    raise
                emit("provider_away", reason=error.reason)
                self._closing.wait(pause * (0.5 + clock.jitter() / 2))
                pause = min(pause * 2, AWAY_PAUSE_SECONDS_MAX)
            else:
                self._committed(writes, outcomes)
                return outcomes


def _gone() -> ProviderUnavailable:
    return ProviderUnavailable("the engine", "it was closed before this write was committed")
