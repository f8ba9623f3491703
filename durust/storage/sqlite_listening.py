"""The listener of SQLite, which sees that somebody has committed, and not what."""

from __future__ import annotations

import threading
from collections.abc import Callable

from durust import clock
from durust.errors import DurustError
from durust.storage.links import Call, Transient
from durust.storage.provider import Hint
from durust.storage.sqlite_links import SqliteLink
from durust.storage.sqlite_statements import SQL

# As often as a waiting listener looks whether somebody has committed: cheap, and short beside a step.
POLL_SECONDS = 0.01


class SqliteListener:
    """Looks whether somebody has committed; what, it cannot tell."""

    def __init__(self, connect: Callable[[], SqliteLink]) -> None:
        self._connect = connect
        self._link: SqliteLink | None = None
        self._seen: object = None
        self._woken = threading.Event()
        self._look()

    def wait(self, timeout_seconds: float) -> list[Hint]:
        deadline = clock.monotonic() + timeout_seconds
        while not self._look():
            left = deadline - clock.monotonic()
            if left <= 0 or self._woken.wait(min(left, POLL_SECONDS)):
                self._woken.clear()
                return []
        return [Hint("any")]

    def _look(self) -> bool:
        """Tell whether somebody has committed since the last look."""
        try:
            if self._link is None:
                self._link = self._connect()
            [[(version,)]] = self._link.run([Call(SQL.data_version, {})])
        except (Transient, DurustError):
            # Away: a poll stands behind every hint.
            self._drop()
            return False
        is_new = bool(version != self._seen)
        self._seen = version
        return is_new

    def _drop(self) -> None:
        # The number means nothing to another connection, which therefore begins with a hint.
        self._seen = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()
        self._drop()
