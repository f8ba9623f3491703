"""Another file of SQLite: what a function wrote there commits together with a witness of how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from durust.model.records import Lease
from durust.model.writes import RecordStep, Refused
from durust.storage import sqlite_files, statements
from durust.storage.links import BadData, Param
from durust.storage.pool import Pool
from durust.storage.sqlite_transactions import SqliteSession
from durust.storage.transactions import TURN_SECONDS, Answer, OpenTransaction, Witnessed

SQL = statements.load("sqlite", "witnesses")


class SqliteWitnesses:
    """Opens transactions in a file that does not hold the state, and keeps their witnesses there."""

    def __init__(self, path: str) -> None:
        self._path = sqlite_files.locate(path)
        self.name = self.location = f"sqlite:///{self._path}"
        # One, because the file has one writer.
        self._sessions = Pool(self.name, self._open, 1)

    def _open(self) -> SqliteSession:
        sqlite_files.demand_folder(self.name, self._path)
        return SqliteSession(self.name, self._path, "FULL", "rwc", is_own=False)

    @contextmanager
    def transaction(self, isolation: str) -> Iterator[OpenTransaction]:
        """Open a transaction; there is nobody beside it, whatever the level of isolation."""
        with self._sessions.lend(TURN_SECONDS) as session, session.begin():
            yield _Witnessing(session)

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self._sessions.close()


class _Witnessing:
    def __init__(self, session: SqliteSession) -> None:
        self._session = session

    @property
    def connection(self) -> Any:
        return self._session.connection

    def standing(self, lease: Lease, place: int, *, after_loss: bool) -> Answer | None:
        self._session.change(SQL.create_witnesses, {})
        return self._read(lease, place)

    def judge(self, error: BaseException) -> BaseException:
        return self._session.judge(error)

    def demand_open(self) -> None:
        self._session.demand_open()

    def record(self, write: RecordStep) -> Answer:
        try:
            standing = self._session.end(lambda: self._store(write))
        except BadData as error:
            return Refused(str(error))
        return standing or Witnessed(write.output, write.error, write.serialization)

    def _store(self, write: RecordStep) -> Answer | None:
        values: dict[str, Param] = {
            "id": write.lease.workflow_id,
            "place": write.place,
            "output": write.output,
            "error": write.error,
            "format": write.serialization,
        }
        if self._session.change(SQL.store_witness, values):
            return None
        return self._read(write.lease, write.place)

    def _read(self, lease: Lease, place: int) -> Witnessed | None:
        found = self._session.rows(SQL.read_witness, {"id": lease.workflow_id, "place": place})
        return Witnessed(*found[0]) if found else None
