"""The supervisor's side of ZeroMQ: a ROUTER for orders and answers, a PUB for hints.

Both sockets belong to the main thread. What comes in is never trusted: see `wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import zmq

from durust.storage.provider import Hint
from durust.supervisor.pidfile import runtime_folder
from durust.supervisor.wire import EVERYBODY, HINTS_MAX, SUPERVISOR, Body, HintBody, Hints, Letter, Post
from durust.telemetry import emit

# Larger than any frame, small enough that nobody can fill the memory with one.
MESSAGE_BYTES_MAX = 64 * 1024
# More unread frames than a thousand workers send in a second are lost; polls stand behind all of them.
HIGH_WATER_FRAMES = 10_000
# A peer whose kernel socket is open but that says nothing for the timeout is cut off.
HEARTBEAT_MS = 2_000
HEARTBEAT_TIMEOUT_MS = 10_000
# Frames handled in one turn of the loop, so that a flood cannot keep it from its other duties.
LETTERS_PER_TURN_MAX = 256


class Control:
    """The control plane over `ipc://` sockets in a folder that only this user may enter."""

    def __init__(self, cluster: str) -> None:
        self.orders, self.hints = addresses(cluster)
        self._post = Post(cluster, SUPERVISOR)
        self._context = zmq.Context()
        self._router = self._bind(zmq.ROUTER, self.orders)
        self._publisher = self._bind(zmq.PUB, self.hints)
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._watched: set[int] = set()

    @property
    def dropped(self) -> int:
        """How many frames were not understood."""
        return self._post.dropped

    def poll(self, descriptors: Iterable[int], timeout_seconds: float) -> set[int]:
        wanted = set(descriptors)
        for gone in self._watched - wanted:
            self._poller.unregister(gone)
        for fresh in wanted - self._watched:
            self._poller.register(fresh, zmq.POLLIN)
        self._watched = wanted
        return {ready for ready, _ in self._poller.poll(int(timeout_seconds * 1000)) if ready in wanted}

    def letters(self) -> list[Letter]:
        letters = []
        for _ in range(LETTERS_PER_TURN_MAX):
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            letter = self._open(parts)
            if letter is not None:
                letters.append(letter)
        return letters

    def say(self, target: str, body: Body) -> bool:
        try:
            self._router.send_multipart([target.encode(), self._post.seal(target, body)], zmq.NOBLOCK)
        except zmq.ZMQError:
            # Not connected (EHOSTUNREACH), or its queue is full: it does not listen either way.
            return False
        return True

    def hint(self, hints: Sequence[Hint]) -> None:
        try:
            bodies = [HintBody(hint.kind, hint.key) for hint in dict.fromkeys(hints)]
            if len(bodies) > HINTS_MAX:
                bodies = [HintBody("any", "")]
            self._publisher.send(self._post.seal(EVERYBODY, Hints(tuple(bodies))), zmq.NOBLOCK)
        except (zmq.ZMQError, ValueError):
            # A hint is worth no more effort: the polls find what it spoke of.
            emit("hint_not_sent")

    def close(self) -> None:
        self._router.close(0)
        self._publisher.close(0)
        self._context.term()
        for address in (self.orders, self.hints):
            _path(address).unlink(missing_ok=True)

    def _open(self, parts: list[bytes]) -> Letter | None:
        if len(parts) != 2:  # noqa: PLR2004  the identity and one frame
            self._post.dropped += 1
            letter = None
        else:
            letter = self._post.open(parts[1], sender=parts[0].decode("utf-8", "replace"))
        if letter is None:
            emit("frame_dropped", sender=parts[0])
        return letter

    def _bind(self, kind: int, address: str) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        temper(made)
        if kind == zmq.ROUTER:
            made.setsockopt(zmq.ROUTER_MANDATORY, 1)
            # A worker that reconnects before its old connection is found dead takes its name over.
            made.setsockopt(zmq.ROUTER_HANDOVER, 1)
        # What a killed supervisor left; this one holds the pidfile, so nobody listens there.
        _path(address).unlink(missing_ok=True)
        made.bind(address)
        return made


def temper(made: zmq.Socket[bytes]) -> None:
    """Give a socket the limits that all of them have: nothing lingers, nothing grows without bound."""
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
    made.setsockopt(zmq.SNDHWM, HIGH_WATER_FRAMES)
    made.setsockopt(zmq.RCVHWM, HIGH_WATER_FRAMES)
    made.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    made.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def addresses(cluster: str) -> tuple[str, str]:
    """Return the addresses of a control plane's ROUTER and PUB sockets. Raises `UnsafeFolder`."""
    folder = runtime_folder()
    return f"ipc://{folder / cluster}.orders", f"ipc://{folder / cluster}.hints"


def _path(address: str) -> Path:
    return Path(address.removeprefix("ipc://"))
