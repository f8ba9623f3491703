"""The shared page: per worker the last confirmed beat, written by the supervisor, and its counters, written by itself.

The page is an anonymous file in memory that a worker inherits. Each field is one aligned word of eight bytes with one
writer, so a reader sees the old or the new value and never a mixture; no lock can be left behind by a dead process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import ClassVar

from durust import clock
from durust.supervisor.plan import State

# Sixteen words: two cache lines, so that workers do not slow each other by writing their counters.
SLOT_BYTES = 128
_WORDS = SLOT_BYTES // 8
_NANO = 1_000_000_000

_BEAT, _PROGRESS, _STATE, _RUNNING, _DONE, _FAILED, _STEPS = range(7)
_STATES = tuple(State)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a worker says about itself on its page."""

    progress: int
    state: State
    running: int
    done: int
    failed: int
    steps: int


class Page:
    """A slot for each worker in memory that supervisor and workers share."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, 0)
        self._words = memoryview(self._map).cast("q")

    @classmethod
    def make(cls, slots: int) -> Page:
        """Make a page of *slots* slots, all zero."""
        fd = _anonymous_file()
        os.ftruncate(fd, slots * SLOT_BYTES)
        return cls(fd)

    def clear(self, index: int) -> None:
        """Empty a slot for the next worker; the one before must have been waited for."""
        start = index * _WORDS
        for word in range(start, start + _WORDS):
            self._words[word] = 0

    def confirm(self, index: int, sent_at: float) -> None:
        """Note that a beat of this worker, sent at *sent_at* on the boot clock, was confirmed by the database."""
        self._words[index * _WORDS + _BEAT] = int(sent_at * _NANO)

    def confirmed_at(self, index: int) -> float:
        """Return when the last confirmed beat was sent, on the boot clock; 0 if there was none."""
        return self._words[index * _WORDS + _BEAT] / _NANO

    def advance(self, index: int) -> None:
        """Count one more sign of life."""
        self._words[index * _WORDS + _PROGRESS] += 1

    def enter(self, index: int, state: State) -> None:
        """Note how far this worker has come."""
        self._words[index * _WORDS + _STATE] = _STATES.index(state)

    def tell(self, index: int, *, running: int, done: int, failed: int, steps: int) -> None:
        """Note what this worker has done so far."""
        start = index * _WORDS
        for word, value in ((_RUNNING, running), (_DONE, done), (_FAILED, failed), (_STEPS, steps)):
            self._words[start + word] = value

    def counts(self, index: int) -> Counts:
        """Return what a worker says about itself."""
        words = self._words[index * _WORDS : (index + 1) * _WORDS]
        # A worker's memory can be broken by C code; a state that is none must not break the supervisor.
        state = _STATES[words[_STATE]] if 0 <= words[_STATE] < len(_STATES) else State.LIVE
        return Counts(words[_PROGRESS], state, words[_RUNNING], words[_DONE], words[_FAILED], words[_STEPS])

    def close(self) -> None:
        """Unmap the page and close its file."""
        self._words.release()
        self._map.close()
        os.close(self.fd)


class PageLease:
    """A worker's view of its own lease: trusted until the last confirmed beat was sent plus TTL less the margin.

    The database counts the lease from the moment it commits the beat, which is later than the sending, so a lease that
    is trusted here has not ended there, whatever the clocks show.
    """

    _UNREGISTERED: ClassVar[float] = float("-inf")

    def __init__(self, page: Page, index: int, ttl_seconds: float, margin_seconds: float) -> None:
        self._page, self._index = page, index
        self._trust_seconds = ttl_seconds - margin_seconds
        # Made before the executor is registered, so the first lease ends later than this plus TTL.
        self._made_at = clock.boottime()
        self._registered_at = self._UNREGISTERED

    def start(self) -> None:
        """Tell the supervisor that the executor is registered, so that it beats for it from now on."""
        self._registered_at = self._made_at
        self._page.enter(self._index, State.REGISTERED)

    def trusted(self) -> bool:
        """Tell whether a step body or a claim may start now."""
        sent_at = max(self._registered_at, self._page.confirmed_at(self._index))
        return clock.boottime() < sent_at + self._trust_seconds

    def stop(self) -> None:
        """Do nothing: the supervisor beats until this process has ended, so that beats stop last."""


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("durust-vitals")
    with tempfile.TemporaryFile() as made:
        return os.dup(made.fileno())
