"""Another database of Postgres: what a function wrote there commits together with a witness of how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from durust.errors import ProviderMisuse
from durust.model.records import Lease
from durust.model.writes import RecordStep, Refused
from durust.storage import statements
from durust.storage.links import BadData, Call, Param, Transient
from durust.storage.pool import Pool
from durust.storage.postgres_address import SETTLED, Address
from durust.storage.postgres_transactions import PostgresSession
from durust.storage.transactions import TRANSACTIONS_MAX, TURN_SECONDS, Answer, OpenTransaction, Witnessed

SQL = statements.load("postgres", "witnesses")


class PostgresWitnesses:
    """Opens transactions in a database that does not hold the state, and keeps their witnesses there."""

    def __init__(self, url: str) -> None:
        self._address = Address(url, "datasource")
        self.name, self.location = self._address.name, self._address.location
        self._sessions = Pool(self.name, self._open, TRANSACTIONS_MAX)
        self._is_prepared = False

    def _open(self) -> PostgresSession:
        return PostgresSession(self.name, self._address.plain(), is_pooled=self._address.is_pooled)

    @contextmanager
    def transaction(self, isolation: str) -> Iterator[OpenTransaction]:
        """Open a transaction. Raises `ProviderMisuse` when there is no table for witnesses and none can be made."""
        with self._sessions.lend(TURN_SECONDS) as session:
            if not self._is_prepared:
                self._prepare(session)
            with session.begin(isolation) as mark:
                yield _Witnessing(session, mark)

    def _prepare(self, session: PostgresSession) -> None:
        """See that the table is there, and make it where it is not."""
        connection = session.connection
        try:
            with connection.transaction():
                [(is_there, has_schema)] = session.run(Call(SQL.find_witnesses))
                if not is_there and not has_schema:
                    session.run(Call(SQL.create_witness_schema))
                if not is_there:
                    session.run(Call(SQL.create_witnesses))
        except psycopg.errors.InsufficientPrivilege as error:
            ddl = f"{SQL.create_witness_schema.sql}; {' '.join(SQL.create_witnesses.sql.split())}"
            raise ProviderMisuse(
                self.name,
                f"it has no table dbos.datasource_outputs, and its role may not create it ({error})",
                f"run once as a role that may, and grant this one usage, select and insert: {ddl}",
            ) from None
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable) as error:
            # Somebody else makes it at the same time.
            raise Transient(str(error)) from error
        except psycopg.Error:
            with session.judged():
                raise
        self._is_prepared = True

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self._sessions.close()


class _Witnessing:
    def __init__(self, session: PostgresSession, mark: str) -> None:
        self._session, self._mark = session, mark

    @property
    def connection(self) -> Any:
        return self._session.connection

    def standing(self, lease: Lease, place: int, *, after_loss: bool) -> Answer | None:
        with self._session.judged():
            return self._read(_key(lease, place))

    def judge(self, error: BaseException) -> BaseException:
        return self._session.judge(error)

    def demand_open(self) -> None:
        self._session.demand_open(self._mark, SETTLED)

    def record(self, write: RecordStep) -> Answer:
        session = self._session
        session.connection.lent_by = None
        key = _key(write.lease, write.place)
        values = {"output": write.output, "error": write.error, "format": write.serialization}
        try:
            with session.judged():
                is_written = bool(session.run(Call(SQL.store_witness, {**key, **values})))
        except BadData as error:
            return Refused(str(error))
        if is_written:
            failed = session.commit(SQL.store_witness.after)
            return failed or Witnessed(write.output, write.error, write.serialization)
        # Another execution was first, and how it ended counts.
        with session.judged():
            session.connection.rollback()
            standing = self._read(key)
        if standing is None:
            raise Transient("the witness in its way is gone")
        return standing

    def _read(self, key: Mapping[str, Param]) -> Witnessed | None:
        found = self._session.run(Call(SQL.read_witness, key))
        return Witnessed(*found[0]) if found else None


def _key(lease: Lease, place: int) -> dict[str, Param]:
    return {"id": lease.workflow_id, "place": place}
