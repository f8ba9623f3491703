"""A database is made whole, served as it is, or refused and left untouched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from durust.errors import SchemaMismatch
from durust.storage import migrations, schema
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from tests.conformance.builders import make_claimed
from tests.storage.races import Rows
from tests.support.processes import Spawn

CANONICAL_FUNCTIONS = {"enqueue_workflow": 17, "send_message": 4, "notifications_function": 0}
# The statement of the version 125, by its parts that other libraries lean on.
CANONICAL_INDEXES = {
    "idx_notifications": False,
    "idx_operation_outputs_completed_at_function_name_v2": True,
    "idx_operation_outputs_retention": True,
    "idx_workflow_input_retention": True,
    "idx_workflow_output_retention": True,
    "idx_workflow_status_deadline": True,
    "idx_workflow_status_in_flight_v2": True,
    "idx_workflow_status_partition_dequeue_v3": True,
    "idx_application_versions_timestamp": True,
    "idx_application_versions_owner_timestamp": True,
    "uq_workflow_status_dedup_id": True,
}
RACING = 6

Ask = Callable[..., Rows]


@pytest.fixture
def bare(url: str) -> Iterator[PostgresProvider]:
    """Return a provider on the database as it is, closed after the test."""
    opened = PostgresProvider(url)
    yield opened
    opened.close()


@pytest.fixture
def ask(url: str) -> Ask:
    """Return `ask(sql)`, which runs a statement on the database and returns its rows."""

    def run(sql: str, *parameters: object) -> Rows:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    return run


def dump(ask: Ask) -> list[Rows]:
    """Return everything that a migration could change."""
    return [
        ask(SQL.find_columns.sql),
        ask("select indexname, indexdef from pg_indexes where schemaname in ('dbos', 'durust') order by 1, 2"),
        ask("select nspname from pg_namespace where nspname !~ '^pg_' order by 1"),
        ask("select proname from pg_proc where pronamespace = to_regnamespace('dbos') order by 1"),
    ]


def make_canonical(ask: Ask) -> None:
    """Make the canonical tables as another library does: with nothing of durust's."""
    ask(migrations.load("postgres")[0].sql)


@pytest.mark.covers(183)
def test_a_fresh_database_gets_the_canonical_tables_and_our_own(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()

    found = schema.catalog(ask(SQL.find_columns.sql))
    own = {"operation_outputs": "durust_claim", "notifications": "durust_seq", "streams": "durust_key"}
    canonical = {
        table: {column: kind for column, kind in columns.items() if own.get(table) != column}
        for table, columns in found["dbos"].items()
    }
    assert canonical == schema.wanted()["dbos"]
    assert {**found["durust"], "migrations": None} == {**schema.wanted()["durust"], "migrations": None}
    assert all(own[table] in found["dbos"][table] for table in own)


def test_the_canonical_version_is_one_row(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()

    assert ask("select * from dbos.dbos_migrations") == [(125,)]


def test_the_canonical_functions_and_indexes_are_there(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()

    functions: dict[str, int] = dict(
        ask("select proname, pronargs from pg_proc where pronamespace = 'dbos'::regnamespace")
    )
    indexes = {row[0] for row in ask("select indexname from pg_indexes where schemaname = 'dbos'")}
    assert functions == CANONICAL_FUNCTIONS
    assert {name: name in indexes for name in CANONICAL_INDEXES} == CANONICAL_INDEXES


def test_no_extension_is_needed(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()

    assert ask("select extname from pg_extension where extname <> 'plpgsql'") == []


@pytest.mark.covers(185)
def test_a_second_migration_changes_nothing(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()
    before = dump(ask)

    bare.migrate()
    bare.check()

    assert dump(ask) == before


@pytest.mark.covers(184)
def test_racing_migrators_leave_one_schema(url: str, bare: PostgresProvider, ask: Ask, spawn: Spawn) -> None:
    program = (
        f"from durust.storage.postgres import PostgresProvider; PostgresProvider({url!r}).migrate(); print('done')"
    )

    racing = [spawn("-c", program) for _ in range(RACING)]

    assert [process.wait(60) for process in racing] == [0] * RACING, [process.stderr for process in racing]
    bare.check()
    assert ask("select * from dbos.dbos_migrations") == [(125,)]
    assert ask("select number from durust.migrations order by 1") == [
        (each.number,) for each in migrations.load("postgres")
    ]


@pytest.mark.covers(184)
def test_racing_migrators_of_one_process_leave_one_schema(url: str, bare: PostgresProvider) -> None:
    with ThreadPoolExecutor(RACING) as threads:
        for done in [threads.submit(PostgresProvider(url).migrate) for _ in range(RACING)]:
            done.result()

    bare.check()


@pytest.mark.protocol("2.additive")
@pytest.mark.parametrize("version", [125, 126, 1000])
def test_a_database_of_another_library_is_served(bare: PostgresProvider, ask: Ask, version: int) -> None:
    make_canonical(ask)
    ask(f"update dbos.dbos_migrations set version = {version}")
    ask("alter table dbos.workflow_status add column of_a_later_version text")

    bare.migrate()

    bare.check()
    assert ask("select * from dbos.dbos_migrations") == [(version,)]
    assert make_claimed(bare, "a").lease.workflow_id == "a"


@pytest.mark.covers(185)
@pytest.mark.protocol("2.additive")
@pytest.mark.parametrize(
    "loss",
    [
        "drop index dbos.durust_claim_order",
        "alter table dbos.operation_outputs drop column durust_claim",
        "alter table dbos.notifications drop column durust_seq",
        "alter table dbos.streams drop column durust_key",
    ],
)
def test_what_durust_adds_is_added_again_when_it_is_gone(bare: PostgresProvider, ask: Ask, loss: str) -> None:
    bare.migrate()
    # The order of columns is no part of what was lost.
    before = [sorted(part) for part in dump(ask)]
    ask(loss)
    with pytest.raises(SchemaMismatch):
        bare.check()

    bare.migrate()

    bare.check()
    assert [sorted(part) for part in dump(ask)] == before


UNFIT = {
    "an older version": "update dbos.dbos_migrations set version = 124",
    "no version": "delete from dbos.dbos_migrations",
    "two versions": "insert into dbos.dbos_migrations values (126)",
    "no table of versions": "drop table dbos.dbos_migrations",
    "a column of another type": "alter table dbos.workflow_status alter column priority type bigint",
    "a missing column": "alter table dbos.workflow_status drop column creator_xid",
    "a missing table": "drop table dbos.workflow_input",
}


@pytest.mark.covers(185, 186)
@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT.keys())
def test_a_database_that_does_not_fit_is_refused_and_left_untouched(
    bare: PostgresProvider, ask: Ask, change: str
) -> None:
    make_canonical(ask)
    ask(change)
    before = dump(ask)

    with pytest.raises(SchemaMismatch, match="nothing was changed"):
        bare.check()
    with pytest.raises(SchemaMismatch, match="nothing was changed"):
        bare.migrate()

    assert dump(ask) == before


def test_an_unrelated_table_in_the_canonical_schema_is_refused(bare: PostgresProvider, ask: Ask) -> None:
    ask("create schema dbos")
    ask("create table dbos.workflow_status (id text)")

    with pytest.raises(SchemaMismatch, match="without dbos_migrations"):
        bare.migrate()


@pytest.mark.covers(185)
@pytest.mark.parametrize(
    "taken",
    [
        "create view dbos.workflow_status as select 1",
        "create function dbos.send_message(text, json, text, text) returns void language sql as ''",
        "create table durust.executors (executor_id text)",
        "create sequence durust.notifications_seq",
    ],
)
def test_a_name_that_somebody_else_took_is_refused_and_left_untouched(
    bare: PostgresProvider, ask: Ask, taken: str
) -> None:
    for schema_name in ("dbos", "durust"):
        ask(f"create schema {schema_name}")
    ask(taken)
    before = dump(ask)

    with pytest.raises(SchemaMismatch, match=r"already exists.*nothing was changed"):
        bare.migrate()

    assert dump(ask) == before


def test_tables_of_ours_with_other_columns_are_refused(bare: PostgresProvider, ask: Ask) -> None:
    bare.migrate()
    ask("alter table durust.leases drop column progress")

    with pytest.raises(SchemaMismatch, match=re.escape("durust.leases.progress is missing")):
        bare.migrate()


@pytest.mark.covers(186)
def test_a_check_of_a_fresh_database_says_what_is_missing_and_makes_nothing(bare: PostgresProvider, ask: Ask) -> None:
    before = dump(ask)

    with pytest.raises(SchemaMismatch, match="no canonical tables"):
        bare.check()

    assert dump(ask) == before


def test_work_on_a_fresh_database_says_that_it_is_not_migrated(bare: PostgresProvider) -> None:

    with pytest.raises(SchemaMismatch, match="migrated"):
        bare.queues()


# The canonical functions -------------------------------------------------------------------------------------------


def test_a_workflow_that_is_enqueued_in_sql_is_claimed_with_its_inputs(provider: PostgresProvider, ask: Ask) -> None:
    [(workflow_id,)] = ask(
        """select dbos.enqueue_workflow('ship', 'work', array['1'::json, '"two"'], '{"three": 3}', priority => 2)"""
    )

    [(status, queue, priority, form)] = ask(
        "select status, queue_name, priority, serialization from dbos.workflow_status where workflow_uuid = %s",
        workflow_id,
    )
    [(inputs,)] = ask("select inputs::json from dbos.workflow_input where workflow_uuid = %s", workflow_id)
    assert (status, queue, priority, form) == ("ENQUEUED", "work", 2, "portable_json")
    assert inputs == {"positionalArgs": [1, "two"], "namedArgs": {"three": 3}}


@pytest.mark.covers(178)
def test_a_workflow_that_is_enqueued_twice_in_sql_stands_once(provider: PostgresProvider, ask: Ask) -> None:
    for value in "12":
        ask(f"select dbos.enqueue_workflow('ship', 'work', array['{value}'::json], workflow_id => 'a')")

    assert ask("select inputs::json -> 'positionalArgs' ->> 0 from dbos.workflow_input") == [("1",)]


@pytest.mark.covers(178)
def test_a_delayed_workflow_of_sql_waits(provider: PostgresProvider, ask: Ask) -> None:
    ask("select dbos.enqueue_workflow('ship', 'work', delay_until_epoch_ms => 9000000000000)")

    assert ask("select status, delay_until_epoch_ms from dbos.workflow_status") == [("DELAYED", 9_000_000_000_000)]


@pytest.mark.covers(178)
def test_a_taken_deduplication_id_is_an_error_in_sql(provider: PostgresProvider, ask: Ask) -> None:
    ask("select dbos.enqueue_workflow('ship', 'work', deduplication_id => 'once')")

    with pytest.raises(psycopg.errors.UniqueViolation, match="DBOS queue duplicated"):
        ask("select dbos.enqueue_workflow('ship', 'work', deduplication_id => 'once')")


@pytest.mark.parametrize(
    "arguments",
    [
        "'', 'work'",
        "'ship', ''",
        "'ship', 'work', workflow_id => ''",
        "'ship', 'work', named_args => '[]'",
        "'ship', 'work', delay_until_epoch_ms => -1",
    ],
)
def test_what_cannot_be_meant_is_an_error_in_sql(provider: PostgresProvider, ask: Ask, arguments: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="must"):
        ask(f"select dbos.enqueue_workflow({arguments})")


@pytest.mark.covers(178)
def test_a_message_that_is_sent_in_sql_arrives_once(provider: PostgresProvider, ask: Ask) -> None:
    ask("select dbos.enqueue_workflow('ship', 'work', workflow_id => 'a')")

    for _ in "12":
        ask("select dbos.send_message('a', '{\"x\": 1}', message_id => 'm')")

    [(topic, message, form, number)] = ask(
        "select topic, message::json, serialization, durust_seq from dbos.notifications"
    )
    assert (topic, message, form) == ("__null__topic__", {"x": 1}, "portable_json")
    assert number > 0


def test_a_message_to_nobody_is_an_error_in_sql(provider: PostgresProvider, ask: Ask) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="DBOS non-existent workflow"):
        ask("select dbos.send_message('nobody', '1')")


@pytest.mark.protocol("4.notifications.quiet")
@pytest.mark.parametrize("is_quiet", [False, True], ids=["another library", "durust"])
def test_only_foreign_messages_notify_in_their_transaction(
    provider: PostgresProvider, ask: Ask, url: str, *, is_quiet: bool
) -> None:
    ask("select dbos.enqueue_workflow('ship', 'work', workflow_id => 'a')")
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("listen dbos_notifications_channel")
        with psycopg.connect(url, options="-c durust.quiet=on" if is_quiet else "") as sender:
            sender.execute("select dbos.send_message('a', '1', 'topic')")

        heard = [notify.payload for notify in listener.notifies(timeout=2, stop_after=1)]

    assert heard == ([] if is_quiet else ["a::topic"])
