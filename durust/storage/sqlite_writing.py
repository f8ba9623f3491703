"""The writer of SQLite: a batch is sent until it stands, and by halves when it is too large or some of it refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.validity import refusal
from durust.model.writes import Outcome, Refused, Write
from durust.storage import sqlite_batch
from durust.storage.halves import by_halves, is_too_large
from durust.storage.links import BadData, Lost
from durust.storage.pool import persist
from durust.storage.sqlite_links import SqliteLink


class SqliteWriter:
    """Commits batches on a connection of its own, which is opened when it is needed and again when it was lost."""

    def __init__(self, name: str, connect: Callable[[], SqliteLink]) -> None:
        self._name, self._connect = name, connect
        self._link: SqliteLink | None = None

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        reasons = [refusal(write) for write in writes]
        outcomes = iter(self._commit([write for write, reason in zip(writes, reasons, strict=True) if not reason]))
        return [Refused(reason) if reason else next(outcomes) for reason in reasons]

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if not writes:
            return []
        if is_too_large(writes):
            return by_halves(self._commit, writes)
        try:
            return persist(self._name, lambda: self._once(writes))
        except BadData as error:
            if len(writes) == 1:
                return [Refused(str(error))]
        # By halves, until the one that cannot be held stands alone.
        return by_halves(self._commit, writes)

    def _once(self, writes: Sequence[Write]) -> list[Outcome]:
        if self._link is None:
            self._link = self._connect()
        try:
            with self._link.transaction() as transaction:
                return sqlite_batch.commit(transaction, writes)
        except Lost:
            self.close()
            raise

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
