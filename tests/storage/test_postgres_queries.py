"""Each statement fits the schema, is used, and is planned by id even while its tables are empty."""

from __future__ import annotations

import ast
from contextlib import closing

import pytest

from durust.model.filters import ListFilter
from durust.storage import asking
from durust.storage.batch import SQL
from durust.storage.links import Call
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_link import compiled
from durust.storage.statements import Statement
from durust.storage.writing import BatchWriter
from tests.conformance.builders import make_claimed, record_step
from tests.storage.races import Race
from tests.tidy.sources import library

# What creates the tables that the others are about needs none of them and cannot be prepared.
CREATING = {SQL.create_own_schema, SQL.create_migrations}
COUNT_PLANS = Statement("count_plans", "select generic_plans, custom_plans from pg_prepared_statements", writes=False)
# What fetches workflows by their ids, batch after batch, with a plan that the connection keeps.
BY_ID = [
    SQL.record_steps,
    SQL.record_sleeps,
    SQL.set_events,
    SQL.append_streams,
    SQL.lock_workflows,
    SQL.record_sends,
    SQL.send_messages,
    SQL.receive_messages,
    SQL.finish_workflows,
    SQL.park_workflows,
    SQL.hand_back_workflows,
    SQL.expire_workflows,
    SQL.record_attributes,
    SQL.assume_roles,
    SQL.set_attributes,
]
# What fetches them by another key as well, each of which has an index.
BY_KEY = [SQL.queue_overdue, SQL.debounce_workflows, SQL.start_children]
KEYS = ("workflow_status_pkey", "uq_workflow_status_dedup_id", "durust_debounces")


@pytest.mark.parametrize("statement", [each for each in SQL if each not in CREATING], ids=lambda each: each.name)
def test_each_statement_fits_a_migrated_database(provider: PostgresProvider, race: Race, statement: Statement) -> None:
    race.observer.do(f"prepare it as {compiled(statement.sql)[0].decode()}")

    [prepared] = race.observer.do("select name from pg_prepared_statements where name = 'it'")
    assert prepared == ("it",)


def test_each_statement_is_used() -> None:
    used = {
        node.attr
        for source in library()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "SQL"
    }

    assert {statement.name for statement in SQL} - used == set()


@pytest.mark.parametrize("stage", ["fresh", "analysed"])
@pytest.mark.parametrize("statement", BY_ID, ids=lambda each: each.name)
def test_a_plan_that_was_made_for_empty_tables_fetches_rows_by_their_ids(
    provider: PostgresProvider, race: Race, statement: Statement, stage: str
) -> None:
    if stage == "analysed":
        race.observer.do("vacuum analyze")

    plan = race.observer.do(f"explain (generic_plan) {compiled(statement.sql)[0].decode()}")

    scans = [line for (line,) in plan if "Scan" in line and " on workflow_status" in line]
    assert scans
    assert [scan for scan in scans if "workflow_status_pkey" not in scan] == []


@pytest.mark.parametrize("stage", ["fresh", "analysed"])
@pytest.mark.parametrize("statement", BY_KEY, ids=lambda each: each.name)
def test_a_plan_that_was_made_for_empty_tables_fetches_workflows_by_their_keys(
    provider: PostgresProvider, race: Race, statement: Statement, stage: str
) -> None:
    if stage == "analysed":
        race.observer.do("vacuum analyze")

    plan = race.observer.do(f"explain (generic_plan) {compiled(statement.sql)[0].decode()}")

    scans = [line for (line,) in plan if "Scan" in line and " on workflow_status" in line]
    assert scans
    assert [scan for scan in scans if not any(f"using {key} " in scan for key in KEYS)] == []


@pytest.mark.covers(189)
@pytest.mark.protocol("4.claim.lateral")
@pytest.mark.parametrize("stage", ["fresh", "analysed"])
def test_a_claim_walks_the_claim_index_and_fetches_the_picked_rows_by_their_ids(
    provider: PostgresProvider, race: Race, stage: str
) -> None:
    if stage == "analysed":
        race.observer.do("vacuum analyze")

    plan = race.observer.do(f"explain (generic_plan) {compiled(SQL.claim_workflows.sql)[0].decode()}")

    scans = [
        line.split("(cost")[0].split("->")[1].strip()
        for (line,) in plan
        if " on workflow_status" in line and "->" in line
    ]
    assert "Index Scan using durust_claim_order on workflow_status w" in scans
    assert "Index Scan using workflow_status_pkey on workflow_status w_1" in scans
    # In the order of the index, so that a long queue is not read to its end.
    walk = [line for (line,) in plan if "durust_claim_order" in line or "Sort" in line]
    assert "durust_claim_order" in walk[-1]
    assert sum("Sort  (" in line for line in walk) == 1


@pytest.mark.parametrize("stage", ["fresh", "analysed"])
def test_the_oldest_unread_message_is_the_first_of_its_index(
    provider: PostgresProvider, race: Race, stage: str
) -> None:
    if stage == "analysed":
        race.observer.do("vacuum analyze")

    plan = race.observer.do(f"explain (generic_plan) {compiled(SQL.receive_messages.sql)[0].decode()}")

    lines = [line for (line,) in plan]
    assert any("Index Scan using durust_unread on notifications s" in line for line in lines)
    # That of the rows' ids, and none of the messages.
    assert sum("Sort  (" in line for line in lines) == 1


FILL = """
insert into dbos.workflow_status (workflow_uuid, name, status, created_at, attributes, parent_workflow_id, forked_from)
select 'w' || n, 'ship', case when n % 100 = 0 then 'PENDING' else 'SUCCESS' end, n,
       case when n % 50 = 7 then jsonb_build_object('k', n) end, case when n % 100 = 1 then 'w7' end,
       case when n % 100 = 2 then 'w7' end
  from generate_series(1, 5000) n
"""


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ListFilter(limit=100), "workflow_status_created_at_index"),
        (ListFilter(limit=100, newest_first=True, after=(4000, "w4000")), "workflow_status_created_at_index"),
        (ListFilter(workflow_ids=["w7", "w9"]), "workflow_status_pkey"),
        (ListFilter(statuses="PENDING"), "idx_workflow_status_pending"),
        (ListFilter(parent_ids="w7"), "idx_workflow_status_parent_workflow_id"),
        (ListFilter(forked_from="w7"), "idx_workflow_status_forked_from"),
        (ListFilter(attributes={"k": 57}), "idx_workflow_status_attributes"),
    ],
    ids=["all", "page", "ids", "pending", "parents", "forks", "attributes"],
)
def test_a_list_walks_the_index_of_its_narrowest_filter(
    provider: PostgresProvider, race: Race, query: ListFilter, index: str
) -> None:
    race.observer.do(FILL)
    race.observer.do("vacuum analyze")
    explain = Statement("explain", f"explain {SQL.list_workflows.sql}", writes=False)

    [plan] = provider._run([Call(explain, asking.list_workflows(query))])

    scans = [line for (line,) in plan if "Scan" in line and "Heap" not in line]
    assert len(scans) == 1
    assert index in scans[0]
    # A page is read in the order of the index, and not sorted out of all rows.
    assert any("Presorted Key: w.created_at" in line for (line,) in plan) or "created_at" not in index


def test_a_lone_write_is_not_planned_each_time(provider: PostgresProvider) -> None:
    run = make_claimed(provider, "a")
    with closing(provider.writer()) as writer:
        for place in range(1, 11):
            writer.commit([record_step(run, place)])

        assert isinstance(writer, BatchWriter)
        [plans] = writer._run([Call(COUNT_PLANS)])

    assert plans == [(10, 0)]
