"""A transaction's guard is decided on the locked row, last of all: a zombie's writes never stand, unless it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from durust.model.claims import Claimed
from durust.model.writes import Fenced, HistoryLost, Recorded
from durust.storage import postgres_transactions
from durust.storage.batch import SQL
from durust.storage.links import Transient
from durust.storage.postgres import PostgresProvider
from durust.storage.statements import Statement
from tests.conformance.builders import commit, history, make_claimed, make_executor, record_step, row_of
from tests.storage.races import Race, cut
from tests.storage.test_postgres_guard_races import CHAIN, SHARE, claim, retire
from tests.support.waiting import TIMEOUT_SECONDS, eventually

ISOLATIONS = ("read committed", "repeatable read", "serializable")


class Cut:
    """The statements, with another text of the one that records."""

    def __init__(self, sql: str) -> None:
        self.record_steps = Statement("record_steps", sql, writes=True)

    def __getattr__(self, name: str) -> Statement:
        found: Statement = getattr(SQL, name)
        return found


@pytest.fixture
def run(provider: PostgresProvider, race: Race) -> Iterator[Claimed]:
    """Return a run, in a database where the application has a table of its own."""
    race.observer.do("create table lines (note text)")
    yield make_claimed(provider, "a", by="first")
    provider.close()


def notes(race: Race) -> list[str]:
    """Return what the application has written."""
    return [note for (note,) in race.observer.do("select note from lines order by note")]


@pytest.mark.protocol("4.transaction", "3.guard.locked-row")
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_zombie_that_was_reaped_behind_its_statements_commits_nothing(
    provider: PostgresProvider, race: Race, run: Claimed, monkeypatch: pytest.MonkeyPatch, *, is_cut: bool
) -> None:
    make_executor(provider, "second")
    reaper = race.actor("reaper")
    if is_cut:
        monkeypatch.setattr(postgres_transactions, "SQL", Cut(cut(SQL.record_steps.sql, SHARE)))
    with provider.transaction("read committed") as zombie, ThreadPoolExecutor(1) as thread:
        zombie.connection.execute("insert into lines values ('zombie')")
        retire(reaper, "first")
        [granted] = claim(reaper, "second", run.queue or "")

        zombie.demand_open()
        pid = zombie.connection.info.backend_pid
        recorded = thread.submit(zombie.record, record_step(run))
        eventually(lambda: recorded.done() or race.is_blocked(pid))
        reaper.do("commit")
        answer = recorded.result(TIMEOUT_SECONDS)

    row = row_of(provider, "a")
    assert (row.executor_id, row.token) == ("second", granted[2])
    assert isinstance(answer, Recorded if is_cut else Fenced)
    assert notes(race) == (["zombie"] if is_cut else [])
    assert len(history(provider, "a")) == is_cut


@pytest.mark.protocol("4.transaction")
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_zombie_that_was_reaped_before_it_counts_for_nothing_at_any_level(
    provider: PostgresProvider, race: Race, run: Claimed, isolation: str
) -> None:
    make_executor(provider, "second")
    reaper = race.actor("reaper")
    answer: Any = None
    with provider.transaction(isolation) as zombie:
        zombie.connection.execute("insert into lines values ('zombie')")
        retire(reaper, "first")
        claim(reaper, "second", run.queue or "")
        reaper.do("commit")

        zombie.demand_open()
        try:
            answer = zombie.record(record_step(run))
        except Transient as fault:
            answer = fault

    # An old snapshot does not show who holds the row, so there the whole transaction goes again, and is told then.
    assert isinstance(answer, Fenced if isolation == "read committed" else Transient)
    assert (notes(race), history(provider, "a")) == ([], [])


@pytest.mark.protocol("4.transaction")
def test_a_slow_function_blocks_nobody(provider: PostgresProvider, race: Race, run: Claimed) -> None:
    other = race.actor("other")
    with provider.transaction("read committed") as slow:
        slow.connection.execute("insert into lines values ('slow')")

        other.do("begin")
        other.do("update dbos.workflow_status set updated_at = updated_at + 1 where workflow_uuid = 'a'")
        other.do("commit")

        slow.demand_open()
        assert isinstance(slow.record(record_step(run)), Recorded)
    assert notes(race) == ["slow"]


@pytest.mark.protocol("4.transaction", "3.chain")
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_transaction_whose_last_record_the_database_lost_writes_nothing(
    provider: PostgresProvider, race: Race, run: Claimed, monkeypatch: pytest.MonkeyPatch, *, is_cut: bool
) -> None:
    commit(provider, record_step(run, 1))
    race.observer.do("delete from dbos.operation_outputs")
    if is_cut:
        monkeypatch.setattr(postgres_transactions, "SQL", Cut(cut(SQL.record_steps.sql, CHAIN)))

    with provider.transaction("read committed") as opened:
        opened.connection.execute("insert into lines values ('lost')")
        opened.demand_open()
        answer = opened.record(record_step(run, 2, after=1))

    assert isinstance(answer, Recorded if is_cut else HistoryLost)
    assert notes(race) == (["lost"] if is_cut else [])
