"""No statement reads the whole of a table that grows, however few rows there were when it was planned."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_link import compiled
from durust.storage.statements import Statement
from tests.storage.races import Race, cut
from tests.tidy.sources import library

# What grows with the workflows that there ever were.
GROWING = {
    "workflow_status",
    "workflow_input",
    "workflow_output",
    "operation_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
    "waits",
    "grants",
    "executors",
    "leases",
}
# Indexes over what is under way right now, which slots and processes bound.
BOUNDED = {"executors_not_dead", "grants_of_executor", "grants_open", "idx_workflow_status_pending"}
# What walks an index all the same, and may.
WALKING = {
    # A person's questions, planned for their very filters each time.
    "list_workflows": {"workflow_status_pkey"},
    "count_workflows": {"the whole table"},
    "list_executors": {"executors_pkey"},
    # In order, and no further than a limit.
    "next_due": {"idx_workflow_status_deadline"},
    "find_purgeable": {"idx_workflow_status_completed_at"},
    "forget_executors": {"executors_dead"},
    # It asks for each wait whether what it is for has come by a foreign hand.
    "queue_arrived": {"waits_pkey", "waits_waited_for"},
    # A purge alone asks it, and of each wait whether its workflow is still there.
    "forget_lost_waits": {"waits_pkey"},
}
CREATING = {SQL.create_own_schema, SQL.create_migrations}
# Of a thousand workflows one is pending, one waits and one sleeps; each has something of each kind.
FILL = (
    """insert into dbos.workflow_status (
           workflow_uuid, name, status, queue_name, created_at, updated_at, completed_at, started_at_epoch_ms,
           application_name, parent_workflow_id, deduplication_id)
       select 'w' || n, 'ship', coalesce((array['PENDING', 'ENQUEUED', 'DELAYED'])[n % 1000 + 1], 'SUCCESS'), 'work',
              n, n, case when n % 1000 > 2 then n end, n, 'durust', case when n % 10 = 3 then 'w' || n - 1 end,
              case when n % 1000 = 1 then 'd' || n end
         from generate_series(1, 20000) n""",
    "insert into dbos.workflow_input (workflow_uuid, inputs) select 'w' || n, '[]' from generate_series(1, 20000) n",
    "insert into dbos.workflow_output (workflow_uuid, output) select 'w' || n, '1' from generate_series(1, 20000) n",
    """insert into dbos.operation_outputs (workflow_uuid, function_id, output, child_workflow_id, completed_at_epoch_ms)
       select 'w' || n, 1, '1', case when n % 10 = 2 then 'w' || n + 1 end, n from generate_series(1, 20000) n""",
    """insert into dbos.notifications (message_uuid, destination_uuid, topic, message, consumed)
       select 'm' || n, 'w' || n, 't', '1', n % 100 > 0 from generate_series(1, 20000) n""",
    """insert into dbos.workflow_events (workflow_uuid, key, value)
       select 'w' || n, 'k', '1' from generate_series(1, 20000) n""",
    """insert into dbos.workflow_events_history (workflow_uuid, function_id, key, value)
       select 'w' || n, 1, 'k', '1' from generate_series(1, 20000) n""",
    """insert into dbos.streams (workflow_uuid, key, value, "offset", function_id)
       select 'w' || n, 'k', '1', 0, 1 from generate_series(1, 20000) n""",
    """insert into durust.waits (workflow_id, place, kind, target, key)
       select 'w' || n, 1, case when n % 2 = 0 then 'sleep' else 'result' end,
              case when n % 2 = 0 then '' else 'w' || n + 1 end, ''
         from generate_series(1, 20000) n""",
    """insert into durust.grants (workflow_id, token, queue, executor_id, granted_at, ended_at, is_start)
       select 'w' || n, 't' || n, 'work', 'e' || n % 100, n, case when n % 1000 > 0 then n end, true
         from generate_series(1, 20000) n""",
    """insert into durust.executors (
           executor_id, supervisor_id, host, boot_id, pid_ns, pid, pid_started, app_name, state, registered_at,
           ended_at)
       select 'e' || n, 's' || n, 'host', 'boot', 'pid:[1]', 1, 1, 'durust',
              case when n % 100 = 0 then 'LIVE' else 'DEAD' end, n, case when n % 100 > 0 then n end
         from generate_series(1, 2000) n""",
    "insert into durust.leases (executor_id, lease_until) select e.executor_id, now() from durust.executors e",
)


def fill(race: Race) -> None:
    """Make many rows of each kind, at which nobody has looked yet."""
    for insert in FILL:
        race.observer.do(insert)


def walks(race: Race, statement: Statement) -> set[str]:
    """Return which indexes of what grows the plan for any values reads from end to end."""
    tables: dict[str, str] = dict(race.observer.do("select indexname, tablename from pg_indexes"))
    explain = f"explain (generic_plan, format json) {compiled(statement.sql)[0].decode()}"
    [[[planned]]] = race.observer.do(explain)
    return set(_walks(planned["Plan"], tables)) - BOUNDED - WALKING.get(statement.name, set())


def _walks(node: dict[str, Any], tables: dict[str, str]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING:
        yield "the whole table"
    if tables.get(node.get("Index Name", "")) in GROWING and "Index Cond" not in node:
        yield node["Index Name"]
    for child in node.get("Plans", ()):
        yield from _walks(child, tables)


def found(race: Race, statements: list[Statement]) -> dict[str, set[str]]:
    """Return the walks of each statement that has any."""
    return {statement.name: walked for statement in statements if (walked := walks(race, statement))}


def kept() -> list[Statement]:
    """Return the statements whose plans connections keep."""
    names = {
        node.args[0].attr
        for source in library()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and any(keyword.arg == "is_hot" for keyword in node.keywords)
        if node.args and isinstance(node.args[0], ast.Attribute)
    }
    return [statement for statement in SQL if statement.name in names]


def test_a_plan_that_is_kept_since_the_tables_were_empty_walks_none_of_them(
    provider: PostgresProvider, race: Race
) -> None:
    statements = kept()
    assert {SQL.record_steps, SQL.claim_workflows, SQL.wake_parked} <= set(statements)

    assert found(race, statements) == {}


@pytest.mark.parametrize("stage", ["never analysed", "analysed"])
def test_no_statement_walks_a_table_that_grows(provider: PostgresProvider, race: Race, stage: str) -> None:
    fill(race)
    if stage == "analysed":
        race.observer.do("vacuum analyze")

    assert found(race, [statement for statement in SQL if statement not in CREATING]) == {}


@pytest.mark.parametrize(
    ("statement", "clause", "instead", "index"),
    [
        (SQL.wake_parked, "coalesce(w.status, '') = 'DELAYED'", "w.status = 'DELAYED'", "idx_workflow_status_delayed"),
        (
            SQL.queue_due,
            "(select (extract(epoch from clock_timestamp()) * 1000)::bigint)",
            "(extract(epoch from clock_timestamp()) * 1000)::bigint",
            "idx_workflow_status_delayed",
        ),
    ],
    ids=["status", "instant"],
)
def test_a_walk_is_seen(
    provider: PostgresProvider, race: Race, statement: Statement, clause: str, instead: str, index: str
) -> None:
    fill(race)
    race.observer.do("vacuum analyze")
    planted = Statement(statement.name, cut(statement.sql, clause, instead), writes=False)

    assert index in walks(race, planted)
