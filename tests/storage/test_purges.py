"""Between the look for what may go and the removal anything may happen to a row; then it stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from durust.model.filters import FINAL, PurgeRequest, Scope
from durust.model.sweeps import Purged
from durust.storage import columns, purging
from durust.storage.batch import SQL
from durust.storage.links import Call, Row
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_link import compiled
from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import APP, commit, finish, history, make_claimed, record_step, row_of
from tests.storage.opened import ask, opened
from tests.storage.races import Race, cut

EVERYTHING = PurgeRequest(scope=Scope(APP, ()), ended_before_seconds=0.0)
REVIVE = "update dbos.workflow_status set status = 'ENQUEUED', completed_at = null where workflow_uuid = 'b'"


def make_ended(provider: PostgresProvider | SqliteProvider, *names: str) -> None:
    """Run workflows of one step to their ends."""
    for name in names:
        run = make_claimed(provider, name)
        commit(provider, record_step(run, 1), finish(run))


def removal(provider: PostgresProvider, *names: str) -> columns.Params:
    """Return the parameters of a removal of workflows as they stand."""
    return purging.purge_workflows(EVERYTHING, [(name, row_of(provider, name).completed_at_ms) for name in names])


def test_a_row_that_was_revived_after_the_look_stays_on_postgres(provider: PostgresProvider, race: Race) -> None:
    make_ended(provider, "a", "b")

    def run(calls: Sequence[Call]) -> list[list[Row]]:
        if calls[0].statement is SQL.purge_workflows:
            race.observer.do(REVIVE)
        return provider._run(calls)

    assert purging.purge(run, EVERYTHING) == Purged(workflows=1)
    assert len(history(provider, "b")) == 1


def test_a_row_that_was_revived_after_the_look_stays_on_sqlite(tmp_path: Path) -> None:
    with opened(tmp_path / "durust.db") as provider:
        make_ended(provider, "a", "b")
        read = provider._read

        def read_and_revive(*asked: object) -> list[Row]:
            found = read(*asked)  # type: ignore[arg-type]  # passed on as it came
            ask(tmp_path / "durust.db", REVIVE.replace("dbos.", ""))
            return found

        provider._read = read_and_revive  # type: ignore[method-assign, assignment]  # between two statements

        purged = provider.purge(EVERYTHING)

        provider._read = read  # type: ignore[method-assign]  # as it was
        assert purged == Purged(workflows=1)
        assert len(history(provider, "b")) == 1


def test_a_row_that_somebody_holds_is_left_for_later(provider: PostgresProvider, race: Race) -> None:
    make_ended(provider, "a", "b")
    holder, purger = race.actor("holder"), race.actor("purger")
    holder.do("begin")
    holder.do(REVIVE)

    removed = purger.do(SQL.purge_workflows.sql, removal(provider, "a", "b"))

    assert removed == [("a",)]
    holder.do("rollback")
    assert len(history(provider, "b")) == 1


def test_without_the_lock_a_removal_waits_for_who_revives(provider: PostgresProvider, race: Race) -> None:
    make_ended(provider, "b")
    holder, purger = race.actor("holder"), race.actor("purger")
    holder.do("begin")
    holder.do(REVIVE)
    careless = cut(SQL.purge_workflows.sql, "for update of w skip locked")

    running = purger.start(careless, removal(provider, "b"))

    race.until_waiting(purger)
    # Its parts are gone before it has even seen the row.
    holder.do("commit")
    running.result(10)
    assert history(provider, "b") == []


def test_a_look_walks_the_ends_and_stops(provider: PostgresProvider, race: Race) -> None:
    asked = purging.find_purgeable(EVERYTHING)
    race.observer.do(
        "insert into dbos.workflow_status (workflow_uuid, status, application_name, completed_at) "
        "select n::text, 'SUCCESS', 'durust', n from generate_series(1, 20000) n"
    )
    race.observer.do("vacuum analyze")

    plan = race.observer.do(f"explain (analyze, buffers) {SQL.find_purgeable.sql}", asked | {"limit": 10})

    text = "\n".join(line for (line,) in plan)
    assert "Index Scan using idx_workflow_status_completed_at on workflow_status w" in text
    # Of twenty thousand rows some dozens are met.
    assert int(text.split("shared hit=")[1].split()[0]) < 200


def test_a_removal_fetches_rows_by_their_ids(provider: PostgresProvider, race: Race) -> None:
    plan = race.observer.do(f"explain (generic_plan) {compiled(SQL.purge_workflows.sql)[0].decode()}")

    scans = [line for (line,) in plan if "Scan" in line and " on " in line]
    assert [scan for scan in scans if "Seq Scan" in scan] == []
    assert set(FINAL) == set(EVERYTHING.statuses)
