"""Two connections led through one order of events, with the shipped SQL and with a clause of it cut out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from durust.storage.postgres_address import PLANNING
from tests.support.waiting import TIMEOUT_SECONDS, eventually

Rows = list[tuple[Any, ...]]
# The advisory lock that holds a statement which calls a delayed function.
HOLD = 4711


def cut(sql: str, clause: str, instead: str = "") -> str:
    """Return *sql* without *clause*, which must stand in it exactly once."""
    assert sql.count(clause) == 1, f"{clause!r} stands {sql.count(clause)} times in\n{sql}"
    return sql.replace(clause, instead)


class Actor:
    """A connection with a thread of its own, so that a statement of it can be left waiting."""

    def __init__(self, url: str, name: str) -> None:
        # Planned as the provider's are, because a plan decides in which order rows are met.
        self._connection = psycopg.connect(url, autocommit=True, application_name=name, options=PLANNING)
        self._thread = ThreadPoolExecutor(1, name)
        self.name, self.pid = name, self._connection.info.backend_pid

    def start(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Future[Rows]:
        """Send a statement and do not wait for its result."""
        return self._thread.submit(self._run, sql, parameters)

    def do(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Run a statement to its end."""
        return self.start(sql, parameters).result(TIMEOUT_SECONDS)

    def _run(self, sql: str, parameters: Mapping[str, Any] | None) -> Rows:
        cursor = self._connection.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def cancel(self) -> None:
        """Cancel the statement that runs, if any."""
        self._connection.cancel_safe()

    def close(self) -> None:
        """End the session; what was not committed is rolled back."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._connection.close()


class Race:
    """The actors of one race, and an observer of who waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._actors: list[Actor] = []
        self.observer = self.actor("observer")

    def actor(self, name: str) -> Actor:
        """Return a new actor."""
        made = Actor(self._url, name)
        self._actors.append(made)
        return made

    def is_waiting(self, actor: Actor) -> bool:
        """Tell whether a lock keeps *actor* waiting."""
        return self.is_blocked(actor.pid)

    def is_blocked(self, pid: int) -> bool:
        """Tell whether a lock keeps the session of *pid* waiting, whoever has it."""
        return bool(self.observer.do("select cardinality(pg_blocking_pids(%(pid)s)) > 0", {"pid": pid})[0][0])

    def until_blocked(self, pid: int) -> None:
        """Wait until the session of *pid* waits for a lock."""
        assert eventually(lambda: self.is_blocked(pid))

    def until_waiting(self, actor: Actor) -> None:
        """Wait until *actor* waits for a lock."""
        assert eventually(lambda: self.is_waiting(actor))

    def until_somebody_waits(self) -> None:
        """Wait until a session of this database, whoever has it, waits for another one."""
        waiting = (
            "select a.pid from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() "
            "and cardinality(pg_blocking_pids(a.pid)) > 0"
        )
        assert eventually(lambda: self.observer.do(waiting))

    def until_settled(self, actor: Actor, running: Future[Rows]) -> bool:
        """Wait until *actor* waits for a lock or has ended its statement; return whether it waits."""
        return eventually(lambda: "ended" if running.done() else self.is_waiting(actor) and "waits") == "waits"

    @contextmanager
    def held(self, actor: Actor, function: str) -> Iterator[None]:
        """Stop the statements of *actor* at *function*, after their snapshot was taken, until the block is left.

        *function* is one of Postgres's own, written as its signature and result, `now() returns timestamptz`. The
        actor finds one of that name that waits for the observer first: so the statement's text stays as shipped.
        """
        signature, _, result = function.partition(" returns ")
        name, _, arguments = signature.rstrip(")").partition("(")
        passed = ", ".join(f"${number}" for number, _ in enumerate(filter(None, arguments.split(",")), 1))
        actor.do("create schema if not exists hold")
        actor.do(
            f"create or replace function hold.{signature} returns {result} language plpgsql as "
            f"$$ begin perform pg_advisory_xact_lock_shared({HOLD}); return pg_catalog.{name}({passed}); end $$"
        )
        actor.do("set search_path = hold, pg_catalog")
        self.observer.do(f"select pg_advisory_lock({HOLD})")
        try:
            yield
        finally:
            self.observer.do(f"select pg_advisory_unlock({HOLD})")

    def close(self) -> None:
        """End all sessions; a test that failed may have left some of them waiting."""
        for actor in self._actors:
            actor.cancel()
        for actor in self._actors:
            actor.close()
