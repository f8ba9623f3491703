"""Each statement for SQLite is understood, used, and finds its rows by an index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from durust.model.attributes import contains
from durust.model.filters import ListFilter
from durust.storage import sqlite_filters, statements
from durust.storage.sqlite_statements import SQL
from durust.storage.statements import Statement
from tests.conformance.builders import instant
from tests.storage.opened import opened

# What Postgres says in another way, or does not need to say.
OWN = {
    "add_durust_claim",
    "add_durust_key",
    "add_durust_seq",
    "begin_write",
    "bounce_workflows",
    "checkpoint",
    "claim_chosen",
    "commit_write",
    "consume_messages",
    "count_grants",
    "data_version",
    "find_attributes",
    "find_arrived",
    "has_arrived",
    "find_candidates",
    "find_claimable",
    "find_debounce",
    "find_live",
    "find_message",
    "find_partition_candidates",
    "find_queue",
    "find_stream_ends",
    "find_waiters",
    "find_waiting",
    "find_fireable",
    "find_version_owner",
    "find_workflow",
    "forget_leases",
    "forget_outputs",
    "forget_schedules",
    "forget_waits",
    "keep_events",
    "list_partitions",
    "make_migrations",
    "note_ticks",
    "pass_changes",
    "pass_pauses",
    "pick_purgeable",
    "purge_events",
    "purge_inputs",
    "purge_messages",
    "purge_outputs",
    "purge_past_events",
    "purge_steps",
    "purge_streams",
    "purge_waits",
    "register_leases",
    "store_grants",
    "settle_schedules",
    "serve_versions",
    "store_inputs",
    "store_outputs",
    "store_version_workflows",
    "store_waits",
    "mark_forked",
    "fork_inputs",
    "fork_steps",
    "fork_past_events",
    "fork_events",
    "fork_streams",
    "walk_newest",
    "walk_workflows",
    "import_steps",
    "import_events",
    "import_past_events",
    "import_streams",
    "import_messages",
}
# Values with which a plan is asked for; all others may be NULL.
VALUES = {"limit": 10, "offset": 0, "ids": '["a"]', "queues": '["a"]', "names": "[]", "known": "[]", "states": "[]"}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a plain connection to a migrated file."""
    with opened(tmp_path / "durust.db"), closing(sqlite3.connect(tmp_path / "durust.db")) as made:
        made.create_function("durust_contains", 2, contains)
        yield made


def parameters(statement: Statement, **values: Any) -> dict[str, Any]:
    names = re.findall(r":([a-z_]+)", statement.sql)
    return {name: values.get(name, VALUES.get(name)) for name in names}


def plan(connection: sqlite3.Connection, statement: Statement, **values: Any) -> list[str]:
    rows = connection.execute(f"explain query plan {statement.sql}", parameters(statement, **values))
    return [row[3] for row in rows]


ADDITIONS = [statement for statement in SQL if statement.name.startswith("add_")]


@pytest.mark.parametrize("statement", [each for each in SQL if each not in ADDITIONS], ids=lambda each: str(each.name))
def test_each_statement_is_understood_by_a_migrated_database(
    connection: sqlite3.Connection, statement: Statement
) -> None:
    connection.execute(f"explain {statement.sql}", parameters(statement))


@pytest.mark.parametrize("statement", ADDITIONS, ids=lambda each: str(each.name))
def test_each_addition_stands_in_a_migrated_database(connection: sqlite3.Connection, statement: Statement) -> None:
    with pytest.raises(sqlite3.OperationalError, match="duplicate column name"):
        connection.execute(statement.sql)


def test_each_statement_is_used() -> None:
    folder = Path(statements.__file__).parent
    files = [*folder.glob("sqlite*.py"), *folder.glob("sqlite_writes/*.py")]
    code = "\n".join(path.read_text() for path in files)

    unused = [statement.name for statement in SQL if not re.search(rf"\bSQL\.{statement.name}\b", code)]

    assert unused == []


def test_what_both_databases_are_told_has_one_name() -> None:
    postgres = {statement.name for statement in statements.load("postgres")}

    assert {statement.name for statement in SQL} - postgres == OWN


@pytest.mark.covers(189)
def test_a_claim_walks_its_index_in_order(connection: sqlite3.Connection) -> None:
    steps = plan(connection, SQL.claim_workflows, queue="a")

    assert any("durust_claim_order" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)


def test_a_park_looks_at_its_own_waits_only(connection: sqlite3.Connection) -> None:
    steps = plan(connection, SQL.has_arrived, id="a")

    assert any(re.match(r"SEARCH v .*\(workflow_id=\?\)", step) for step in steps)
    assert not any(step.startswith("SCAN") for step in steps)


@pytest.mark.parametrize("statement", [SQL.find_partition_candidates, SQL.list_partitions], ids=lambda each: each.name)
def test_the_partitions_of_a_queue_are_found_by_their_keys(
    connection: sqlite3.Connection, statement: Statement
) -> None:
    steps = plan(connection, statement, queue="a", partition="p", after="", most=10)

    walks = [step for step in steps if step.startswith("SEARCH w ")]
    assert walks
    assert all("idx_workflow_status_partition_dequeue" in step for step in walks)
    assert all("queue_partition_key" in step.split("(")[1] for step in walks)


def test_whether_there_is_work_is_one_look_a_queue(connection: sqlite3.Connection) -> None:
    steps = plan(connection, SQL.find_claimable)

    assert any(
        re.search(r"USING (COVERING )?INDEX (durust_claim_order|idx_workflow_status_in_flight)", step) for step in steps
    )
    assert not any(step.startswith("SCAN w") for step in steps)


@pytest.mark.covers(189)
@pytest.mark.parametrize(
    "name",
    [
        "record_steps",
        "record_sleeps",
        "keep_events",
        "set_events",
        "find_stream_ends",
        "append_streams",
        "find_workflow",
        "send_messages",
        "find_message",
        "consume_messages",
        "list_messages",
        "finish_workflows",
        "park_workflows",
        "hand_back_workflows",
        "expire_workflows",
        "cancel_workflows",
        "resume_workflows",
        "time_out_workflows",
        "beat",
        "retire_executors",
        "release_workflows",
        "classify_runs",
        "classify_starts",
        "read_history",
        "queue_due",
        "next_due",
        "release_orphans",
        "pick_purgeable",
        "purge_steps",
        "purge_messages",
        "purge_waits",
        "purge_workflows",
        "forget_executors",
        "adopt_workflows",
        "store_versions",
        "serve_versions",
        "find_version_owner",
    ],
)
def test_no_statement_of_the_hot_path_reads_a_whole_table(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, getattr(SQL, name))

    scans = [step for step in steps if re.match(r"SCAN (?!CONSTANT|\(|SUBQUERY|[a-z] VIRTUAL|json_each)", step)]
    assert [step for step in scans if "USING" not in step] == []


def test_the_oldest_unread_message_is_the_first_of_its_index(connection: sqlite3.Connection) -> None:
    steps = plan(connection, SQL.find_message)

    assert [step for step in steps if "durust_unread" not in step] == []


@pytest.mark.parametrize(("age", "keep"), [(1000, None), (None, 10), (1000, 10)])
def test_a_purge_walks_the_ends(connection: sqlite3.Connection, age: int | None, keep: int | None) -> None:
    steps = plan(connection, SQL.find_purgeable, age=age, keep=keep, statuses='["SUCCESS"]', now=1)

    looks = [step for step in steps if re.match(r"(SEARCH|SCAN) [nw] (?!VIRTUAL)", step)]
    assert looks
    assert [step for step in looks if "idx_workflow_status_completed_at" not in step] == []
    # Ends of one millisecond are sorted by their ids, and in the end the few that were found.
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ListFilter(workflow_ids=["7", "9"]), 2),
        (ListFilter(parent_ids="7"), 2),
        (ListFilter(statuses="PENDING"), 1),
        (ListFilter(created_from=instant(4_990)), 10),
        (ListFilter(after=(4_989, "4989")), 10),
        (ListFilter(after=(10, "10"), newest_first=True), 10),
        (ListFilter(limit=10), 10),
        (ListFilter(limit=10, newest_first=True, after=(4_000, "4000"), statuses="SUCCESS"), 10),
    ],
    ids=["ids", "parents", "pending", "created", "behind", "before", "first", "newest"],
)
def test_a_list_touches_the_rows_alone_that_its_narrowest_filter_finds(
    connection: sqlite3.Connection, query: ListFilter, found: int
) -> None:
    connection.executemany(
        "insert into workflow_status (workflow_uuid, status, parent_workflow_id, created_at) values (?, ?, ?, ?)",
        [(f"{n}", "PENDING" if n == 7 else "SUCCESS", "7" if n in {70, 90} else None, n) for n in range(5000)],
    )
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    params = sqlite_filters.workflows(query)
    walk = SQL.walk_newest if query.newest_first else SQL.walk_workflows
    statement = walk if params["of_time"] else SQL.list_workflows
    rows = connection.execute(statement.sql, {"now": 0, **params}).fetchall()

    assert len(rows) == found
    assert steps < 50
