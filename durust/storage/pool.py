"""A few connections shared by threads, and the patience to ask again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from durust import clock
from durust.errors import ProviderUnavailable
from durust.storage.links import Lost, Taken, Transient

T = TypeVar("T")

# Claimer, sweeper, watcher and a reading caller at once; more callers wait for each other, not for the database.
LINKS_MAX = 4
# Longer than any statement may take, so whoever waits this long waits for a database that is away.
LEND_SECONDS = 30.0
# A deadlock or a lock held too long is gone within a few tries; an absent database is for the caller's own pauses.
TRIES_MAX = 5
# Above a transaction's usual time; doubled with each try.
PAUSE_SECONDS = 0.02
# No new try begins later than this, so that a caller hears of an absent database while its lease still stands.
PERSIST_SECONDS = 5.0


def persist(provider: str, work: Callable[[], T], *, after_loss: bool = True) -> T:
    """Do *work* again while it fails for a reason that passes.

    With *after_loss* False a lost connection is not followed by another try: for work that must not happen twice.

    Raises `ProviderUnavailable` when the bound is reached.
    """
    started = clock.monotonic()
    tries = 0
    while True:
        tries += 1
        try:
            return work()
        except Transient as error:
            is_over = tries >= TRIES_MAX or clock.monotonic() - started >= PERSIST_SECONDS
            if is_over or (isinstance(error, Lost) and not after_loss):
                raise ProviderUnavailable(provider, str(error).strip()) from error
        # With jitter, so that two who met in a deadlock do not meet again.
        clock.pause(PAUSE_SECONDS * 2 ** (tries - 1) * (0.5 + clock.jitter()))


class Lendable(Protocol):
    """A connection that a pool can lend."""

    @property
    def is_open(self) -> bool:
        """Tell whether the connection still stands and belongs to this process."""

    def close(self) -> None:
        """Close the connection. Idempotent."""


L = TypeVar("L", bound=Lendable)


class Pool(Generic[L]):
    """Lends connections to threads, at most *links_max* at once; they are opened when first needed."""

    def __init__(self, provider: str, connect: Callable[[], L], links_max: int = LINKS_MAX) -> None:
        self._provider = provider
        self._links_max = links_max
        self._connect = connect
        self._is_closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._room = threading.BoundedSemaphore(self._links_max)
        self._mutex = threading.Lock()
        self._idle: list[L] = []

    @contextmanager
    def lend(self, patience_seconds: float | None = None) -> Iterator[L]:
        """Lend a connection for the time of a `with`.

        Raises `ProviderUnavailable` when the pool is closed or none gets free, and `Lost` when none can be opened. With
        a patience of the caller's own it raises `Taken` when that is over.
        """
        if self._pid != os.getpid():
            # A forked child inherits sockets that its parent goes on using, and locks that nobody will open.
            _ABANDONED.append(self._idle)
            self._begin()
        room, mutex, idle = self._room, self._mutex, self._idle
        if not room.acquire(timeout=LEND_SECONDS if patience_seconds is None else patience_seconds):
            if patience_seconds is not None:
                raise Taken(f"all {self._links_max} connections are lent out")
            raise ProviderUnavailable(self._provider, f"no connection got free within {LEND_SECONDS:g} s")
        try:
            link = self._take()
            try:
                yield link
            except Lost:
                # A server that ended one session has mostly ended all of them.
                with mutex:
                    stale, idle[:] = list(idle), []
                for other in stale:
                    other.close()
                raise
            finally:
                with mutex:
                    is_kept = link.is_open and not self._is_closed
                    if is_kept:
                        idle.append(link)
                if not is_kept:
                    link.close()
        finally:
            room.release()

    def _take(self) -> L:
        with self._mutex:
            if self._is_closed:
                raise ProviderUnavailable(self._provider, "it was closed")
            while self._idle:
                link = self._idle.pop()
                if link.is_open:
                    return link
        return self._connect()

    def close(self) -> None:
        """Close every connection that is not lent; those that are close when they come back."""
        if self._pid != os.getpid():
            # Nothing was opened in this process.
            return
        with self._mutex:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()


# Kept so that nothing closes them: closing would end the parent's sessions.
_ABANDONED: list[object] = []


def abandon(link: Lendable) -> None:
    """Keep a connection that belongs to the parent process from being closed by this one."""
    _ABANDONED.append(link)
