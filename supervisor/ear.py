"""What the supervisor's loop waits on and speaks through, with ZeroMQ or without it."""

from __future__ import annotations

import select
from collections.abc import Iterable, Sequence
from typing import Protocol

from durust.storage.provider import Hint
from durust.supervisor.wire import Body, Letter


class Ear(Protocol):
    """What the supervisor's loop waits on, and speaks through."""

    @property
    def orders(self) -> str | None:
        """The address for orders, if there is one."""

    @property
    def hints(self) -> str | None:
        """The address for hints, if there is one."""

    @property
    def dropped(self) -> int:
        """How many frames were not understood."""

    def poll(self, descriptors: Iterable[int], timeout_seconds: float) -> set[int]:
        """Wait until a descriptor is readable, a frame came in or the time is up; return the readable descriptors."""

    def letters(self) -> list[Letter]:
        """Return the letters that came in."""

    def say(self, target: str, body: Body) -> bool:
        """Send *body* to one party; False when it is not connected."""

    def hint(self, hints: Sequence[Hint]) -> None:
        """Tell all workers that something changed."""

    def close(self) -> None:
        """Close the sockets at once, dropping what was not sent."""


class Deaf:
    """An ear without ZeroMQ: signals and the shared page have to do."""

    orders: str | None = None
    hints: str | None = None
    dropped = 0

    def poll(self, descriptors: Iterable[int], timeout_seconds: float) -> set[int]:
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        return {descriptor for descriptor, _ in poller.poll(timeout_seconds * 1000)}

    def letters(self) -> list[Letter]:
        return []

    def say(self, target: str, body: Body) -> bool:
        return False

    def hint(self, hints: Sequence[Hint]) -> None:
        return

    def close(self) -> None:
        return


def open_ear(cluster: str, *, has_zmq: bool) -> Ear:
    """Open the control plane, or a deaf ear where ZeroMQ is switched off, which then is not even loaded."""
    if not has_zmq:
        return Deaf()
    from durust.supervisor.control import Control

    return Control(cluster)
