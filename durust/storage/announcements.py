"""Hints on their way through Postgres's notifications, and whoever listens for them."""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from durust import clock
from durust.model.waits import EVENT, MESSAGE, STREAM
from durust.storage.links import Transient
from durust.storage.provider import Hint

CHANNEL = "durust_hints"
# On these other libraries of the family, and the canonical trigger for plain SQL, tell what was written, by its
# workflow and its topic or key.
FOREIGN_CHANNELS = {
    "dbos_notifications_channel": MESSAGE,
    "dbos_workflow_events_channel": EVENT,
    "dbos_streams_channel": STREAM,
}
# Postgres takes payloads of less than 8,000 bytes.
PAYLOAD_BYTES_MAX = 7_900
# A batch that would need more notifications than this is told as one that says only that something changed.
PAYLOADS_MAX = 8
# More of one batch than these are not told to other libraries, each by a notification of its own; they look again by
# themselves.
FOREIGN_MAX = 256
# How many of durust's own hints are kept in mind, to be known again on the canonical channels.
TOLD_MAX = 1024
# The first pause before a new connection, doubled up to the second; hints may be late, so there is no hurry.
RECONNECT_SECONDS = 0.1
RECONNECT_SECONDS_MAX = 2.0

ANY = Hint("any")
# Whoever is parked for that was not woken by its transaction.
FOREIGN = Hint("foreign")


def payloads(hints: Sequence[Hint]) -> list[str]:
    """Write hints into as few payloads as they fit in, each hint once."""
    texts = [json.dumps([hint.kind, hint.key]) for hint in dict.fromkeys(hints)]
    packed = list(_pack(texts))
    return packed if len(packed) <= PAYLOADS_MAX else list(_pack([json.dumps([ANY.kind, ANY.key])]))


def _pack(texts: list[str]) -> Iterator[str]:
    gathered: list[str] = []
    # ASCII throughout, so characters are bytes; two brackets and a comma each.
    size = 2
    for text in texts:
        if gathered and size + len(text) + 1 > PAYLOAD_BYTES_MAX:
            yield f"[{','.join(gathered)}]"
            gathered, size = [], 2
        gathered.append(text if len(text) < PAYLOAD_BYTES_MAX - 2 else json.dumps([ANY.kind, ANY.key]))
        size += len(gathered[-1]) + 1
    if gathered:
        yield f"[{','.join(gathered)}]"


def foreign(hints: Sequence[Hint]) -> list[tuple[str, str]]:
    """Return the channels and payloads that tell other libraries of the same."""
    channels = {kind: channel for channel, kind in FOREIGN_CHANNELS.items()}
    told = [(channels[hint.kind], hint.key) for hint in dict.fromkeys(hints) if hint.kind in channels]
    return [(channel, key) for channel, key in told if len(key.encode()) <= PAYLOAD_BYTES_MAX][:FOREIGN_MAX]


def hints(channel: str, payload: str) -> list[Hint]:
    """Read a notification; what anybody else may have sent on durust's own channel says nothing."""
    if channel in FOREIGN_CHANNELS:
        return [Hint(FOREIGN_CHANNELS[channel], payload), FOREIGN]
    try:
        pairs = json.loads(payload)
        return [Hint(str(kind), str(key)) for kind, key in pairs]
    except (ValueError, TypeError):
        return []


class Subscription(Protocol):
    """A connection that listens on the channel."""

    def fileno(self) -> int:
        """Return the socket, which is readable when something came in."""

    def hear(self) -> list[tuple[int, str, str]]:
        """Return the senders, channels and payloads that came in. Raises `Lost`."""

    def close(self) -> None:
        """Close the connection. Idempotent."""


class PostgresListener:
    """Listens on the channel, and connects again for as long as the database is away."""

    def __init__(self, subscribe: Callable[[], Subscription] | None) -> None:
        """Subscribe at once; without *subscribe* the listener only waits, and polls stand for every hint."""
        self._subscribe = subscribe
        self._subscription: Subscription | None = None
        self._pause = RECONNECT_SECONDS
        self._next_try = clock.monotonic()
        self._told: dict[tuple[int, Hint], None] = {}
        self._mutex = threading.Lock()
        self._is_closed = False
        self._awoken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._reconnect()

    def wait(self, timeout_seconds: float) -> list[Hint]:
        deadline = clock.monotonic() + timeout_seconds
        while True:
            if self._reconnect():
                # Whatever was announced in between was not heard.
                return [ANY]
            until = deadline if self._subscription or not self._subscribe else min(deadline, self._next_try)
            is_awoken, is_readable = self._poll(max(0.0, until - clock.monotonic()))
            heard = self._hear(self._subscription) if is_readable and self._subscription else []
            if heard or is_awoken or clock.monotonic() >= deadline:
                return heard

    def _reconnect(self) -> bool:
        """Subscribe if that is due; return whether it was and worked."""
        if self._subscribe is None or self._subscription or self._is_closed or clock.monotonic() < self._next_try:
            return False
        try:
            self._subscription = self._subscribe()
        except Transient:
            self._next_try = clock.monotonic() + self._pause * (0.5 + clock.jitter() / 2)
            self._pause = min(self._pause * 2, RECONNECT_SECONDS_MAX)
            return False
        self._pause = RECONNECT_SECONDS
        return True

    def _poll(self, seconds: float) -> tuple[bool, bool]:
        poller = select.poll()
        poller.register(self._awoken, select.POLLIN)
        if self._subscription:
            poller.register(self._subscription.fileno(), select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        is_awoken = self._awoken in ready
        if is_awoken and not self._is_closed:
            os.read(self._awoken, 1024)
        return is_awoken, bool(ready - {self._awoken})

    def _hear(self, subscription: Subscription) -> list[Hint]:
        try:
            return [hint for heard in subscription.hear() for hint in self._read(*heard)]
        except Transient:
            subscription.close()
            self._subscription = None
            self._next_try = clock.monotonic()
            return []

    def _read(self, sender: int, channel: str, payload: str) -> list[Hint]:
        heard = hints(channel, payload)
        if channel == CHANNEL:
            self._told |= {(sender, hint): None for hint in heard if hint.kind in FOREIGN_CHANNELS.values()}
            for old in list(self._told)[: max(0, len(self._told) - TOLD_MAX)]:
                del self._told[old]
        elif (sender, heard[0]) in self._told:
            # What one of durust's own tells other libraries of comes right behind its hint.
            del self._told[sender, heard[0]]
            return []
        return heard

    def wake(self) -> None:
        with self._mutex:
            if not self._is_closed:
                try:
                    os.write(self._waker, b"w")
                except BlockingIOError:
                    # Full of wakes that nobody has taken yet: one of them will do.
                    return

    def close(self) -> None:
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed = True
            # The reading end too: a `wait` of another thread must have ended before.
            os.close(self._waker)
            os.close(self._awoken)
        if self._subscription:
            self._subscription.close()
