"""A SQLite file is made, brought up, served, or refused and then left as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from durust.errors import SchemaMismatch
from durust.model.filters import ListFilter
from durust.storage import sqlite_schema
from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import make_enqueued, make_executor, want
from tests.storage.opened import ask, opened
from tests.support.processes import Spawn

MIGRATORS = 6
CANONICAL = {
    "dbos_migrations",
    "workflow_status",
    "workflow_input",
    "workflow_output",
    "operation_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
    "workflow_schedules",
    "application_versions",
    "queues",
}


def tables(path: Path) -> set[str]:
    return {name for (name,) in ask(path, "select name from sqlite_master where type = 'table'")}


def make_canonical(path: Path, version: int = 125, extra: str = "") -> None:
    """Make the file as the other library leaves it: without durust's tables, columns and log."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(sqlite_schema.canonical_text())
        connection.execute("update dbos_migrations set version = ?", (version,))
        connection.executescript(extra)


@pytest.mark.covers(183)
def test_a_new_file_gets_the_canonical_tables_and_durusts_own(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        provider.check()

        names = tables(path)
        assert names >= CANONICAL
        assert {name for name in names - CANONICAL if not name.startswith(("durust_", "sqlite_"))} == set()
        assert ask(path, "select version from dbos_migrations") == [(125,)]
        assert ask(path, "pragma journal_mode") == [("wal",)]


@pytest.mark.covers(185)
def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")
        before = ask(path, "select name, sql from sqlite_master order by name")

        provider.migrate()

        assert ask(path, "select name, sql from sqlite_master order by name") == before
        assert ask(path, "select count(*) from durust_migrations") == [(2,)]
        assert len(provider.workflows(ListFilter())) == 1


@pytest.mark.covers(184)
def test_six_processes_migrate_one_new_file_at_once(tmp_path: Path, spawn: Spawn) -> None:
    path, signal = tmp_path / "durust.db", tmp_path / "go"
    migrators = [
        spawn("-m", "tests.storage.sqlite_migrator", str(path), f"run {number}", str(signal))
        for number in range(MIGRATORS)
    ]
    for migrator in migrators:
        migrator.wait_for("ready")

    signal.touch()
    codes = [migrator.wait(60) for migrator in migrators]

    assert codes == [0] * MIGRATORS, [migrator.stderr for migrator in migrators]
    with opened(path) as provider:
        provider.check()
        assert len(provider.workflows(ListFilter())) == MIGRATORS
    assert ask(path, "select number from durust_migrations order by number") == [(1,), (2,)]
    assert ask(path, "pragma integrity_check") == [("ok",)]


@pytest.mark.parametrize("version", [125, 1000])
def test_a_file_of_the_other_library_is_served_and_added_to(tmp_path: Path, version: int) -> None:
    path = tmp_path / "durust.db"
    make_canonical(path, version, "alter table workflow_status add column of_tomorrow text default 'x';")
    ask(path, "insert into workflow_status (workflow_uuid, status, name) values ('theirs', 'SUCCESS', 'w')")
    ask(path, "insert into notifications (destination_uuid, message) values ('theirs', 'one'), ('theirs', 'two')")

    with opened(path) as provider:
        provider.check()
        make_enqueued(provider, "ours")

        assert {row.workflow_id for row in provider.workflows(ListFilter())} == {"theirs", "ours"}
    assert ask(path, "select version from dbos_migrations") == [(version,)]
    assert ask(path, "select message, durust_seq from notifications order by durust_seq") == [("one", 1), ("two", 2)]


def test_messages_of_any_library_get_a_total_order(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")
        insert = "insert into notifications (message_uuid, destination_uuid, message) values (?, 'a', '')"
        for name in ("z", "y"):
            ask(path, insert, name)
        ask(path, "delete from notifications where message_uuid = 'y'")

        ask(path, insert, "x")

        assert ask(path, "select message_uuid, durust_seq from notifications order by durust_seq") == [
            ("z", 1),
            ("x", 3),
        ]


@pytest.mark.covers(185)
def test_what_another_library_dropped_is_added_again(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        ask(path, "drop index durust_claim_order")
        ask(path, "drop trigger durust_notifications_seq")
        with pytest.raises(SchemaMismatch, match="durust_claim_order, durust_notifications_seq"):
            provider.check()

        provider.migrate()

        provider.check()


MISFITS: dict[str, Callable[[Path], object]] = {
    "an older version": lambda path: make_canonical(path, 108),
    "no version": lambda path: make_canonical(path, extra="delete from dbos_migrations;"),
    "two versions": lambda path: make_canonical(path, extra="insert into dbos_migrations values (126);"),
    "a column that is missing": lambda path: make_canonical(path, extra="alter table streams drop column function_id;"),
    "a column of another kind": lambda path: make_canonical(
        path, extra="drop table queues; create table queues (queue_id integer, name integer);"
    ),
    "somebody's own table": lambda path: ask(path, "create table queues (cashier integer)"),
    "somebody's own table in capitals": lambda path: ask(path, "create table Queues (Cashier integer)"),
    "somebody's own view": lambda path: ask(path, "create view streams as select 1 as water"),
    "no database": lambda path: path.write_text("Dear diary, " * 1000),
}


@pytest.mark.covers(185, 186)
@pytest.mark.parametrize("make", MISFITS.values(), ids=MISFITS.keys())
def test_a_file_that_does_not_fit_is_refused_and_left_as_it_was(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "durust.db"
    make(path)
    before = path.read_bytes()
    provider = SqliteProvider(path)

    with pytest.raises(SchemaMismatch, match="nothing was changed"):
        provider.migrate()

    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["durust.db"]
    with pytest.raises(SchemaMismatch):
        provider.check()


def test_a_file_with_other_tables_of_its_own_is_served(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    ask(path, "create table orders (id integer primary key, note text)")
    ask(path, "insert into orders values (1, 'mine')")

    with opened(path) as provider:
        make_enqueued(provider, "a")

    assert ask(path, "select note from orders") == [("mine",)]


def test_a_file_that_was_never_migrated_says_so(tmp_path: Path) -> None:
    provider = SqliteProvider(tmp_path / "durust.db")

    with pytest.raises(SchemaMismatch, match="no file"):
        provider.check()
    with pytest.raises(SchemaMismatch, match="durust has migrated"):
        provider.workflows(ListFilter())

    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_that_was_never_migrated_says_so(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    path.touch()
    provider = SqliteProvider(path)

    with pytest.raises(SchemaMismatch, match="durust has migrated"):
        provider.check()
    assert path.read_bytes() == b""
    with pytest.raises(SchemaMismatch, match="durust has migrated"):
        provider.workflows(ListFilter())


def test_a_row_of_the_other_library_is_claimed_with_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        ask(
            path,
            "insert into workflow_status (workflow_uuid, status, name, queue_name, inputs, recovery_attempts) "
            "values ('theirs', 'ENQUEUED', 'ship', 'work', '[1]', null)",
        )
        ask(path, "insert into workflow_status (workflow_uuid, status, name) values ('bare', 'SUCCESS', null)")

        [taken] = provider.claim(want(make_executor(provider, "first")))

        assert (taken.inputs, taken.attempts, taken.lease.workflow_id) == ("[1]", 1, "theirs")
        assert {row.workflow_id for row in provider.workflows(ListFilter())} == {"theirs", "bare"}
