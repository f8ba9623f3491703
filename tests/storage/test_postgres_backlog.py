"""However much waits, a claim touches about as many pages as on a small table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from durust import clock
from durust.embedded import Server
from durust.model.filters import ClaimRequest, QueueWant
from durust.model.writes import StoreQueue
from durust.storage import claiming
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_address import PLANNED_ONCE, PLANNING
from durust.storage.postgres_link import compiled
from durust.storage.postgres_writes.queues import store_queues
from tests.conformance.builders import APP, NAME, make_executor, want
from tests.storage.races import cut

MANY, FEW, CLAIMED = 200_000, 100, 50
PARTITIONS = 10
# Measured: 1.4 to 1.5, because the indexes that an update writes to are deeper.
RATIO_MAX = 2.0
# What a claim from one queue means, by the limits that the queue has.
QUEUES = {
    "without a budget": None,
    "with a budget": {"global_concurrency": 1000},
    "with partitions": {"partition_queue": True, "partition_concurrency": 1000},
}
# The rows of one bulk enqueue, all of one instant; their ids do not come in the order of their partitions.
FILL = """
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, queue_partition_key, application_name, created_at, updated_at)
    select %(queue)s || '-' || n, 'ENQUEUED', %(name)s, %(queue)s, 'p' || n * %(partitions)s / %(count)s, %(app)s,
           1700000000000, 1700000000000
      from generate_series(0, %(count)s - 1) n"""


class Backlog:
    """A database with two queues, and connections that plan for it as the provider's do."""

    def __init__(self, url: str) -> None:
        self._admin = psycopg.connect(url, autocommit=True)
        # Only a test says when the table is looked at.
        self._admin.execute("alter table dbos.workflow_status set (autovacuum_enabled = off)")
        self._connections = {
            "planned now": psycopg.connect(url, autocommit=True, options=PLANNING),
            # The plan that a connection keeps was made when there was next to nothing.
            "planned before": psycopg.connect(url, autocommit=True, options=PLANNED_ONCE),
        }
        self._prepared: dict[str, str] = {}

    def fill(self, queue: str, count: int) -> None:
        values = {"queue": queue, "name": NAME, "app": APP, "count": count, "partitions": PARTITIONS}
        self._admin.execute(FILL, values)

    def empty(self) -> None:
        self._admin.execute("delete from dbos.workflow_status")

    def analyse(self) -> None:
        self._admin.execute("vacuum analyze dbos.workflow_status")

    def buffers(self, plan: str, kind: str, *queues: str, bug: tuple[str, str] | None = None, ddl: str = "") -> int:
        """Claim from *queues* of a *kind*, take it back, and return how many pages that touched.

        *bug* is a clause of the statement and what stands there instead; *ddl* is what happens to the table before.
        """
        limits: Any = QUEUES[kind]
        statement = SQL.claim_workflows if limits is None else SQL.claim_budgeted
        text, names = compiled(cut(statement.sql, *bug) if bug else statement.sql)
        connection = self._connections[plan]
        with connection.transaction(force_rollback=True):
            if limits is not None:
                stored = store_queues([StoreQueue(name, None, APP, **limits) for name in queues])
                connection.execute(SQL.store_queues.sql.encode(), stored)
                connection.execute(SQL.lock_budget.sql.encode(), {"queue": queues[0]})
            if ddl:
                connection.execute(ddl.encode())
            values = ", ".join(self._literal(value) for value in self._values(limits is not None, queues, names))
            prepared = self._prepare(plan, connection, text.decode())
            explained = f"explain (analyze, buffers, timing off, format json) execute {prepared} ({values})"
            [[[found]]] = connection.execute(explained.encode()).fetchall()
        top = found["Plan"]
        # One row more tells of the budget.
        assert top["Actual Rows"] == CLAIMED + (limits is not None)
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    def _prepare(self, plan: str, connection: psycopg.Connection[Any], text: str) -> str:
        key = f"{plan}: {text}"
        if key not in self._prepared:
            self._prepared[key] = f"claim_{len(self._prepared)}"
            connection.execute(f"prepare {self._prepared[key]} as {text}".encode())
        return self._prepared[key]

    @staticmethod
    def _values(is_budgeted: bool, queues: tuple[str, ...], names: tuple[str, ...]) -> list[Any]:
        request: ClaimRequest = want("first", *queues, limit=CLAIMED, each=CLAIMED)
        params = (
            claiming.claim_budgeted(request, QueueWant(queues[0], CLAIMED), CLAIMED, "")
            if is_budgeted
            else claiming.claim_workflows(request)
        )
        return [params[name] for name in names]

    @staticmethod
    def _literal(value: Any) -> str:
        return "null" if value is None else "'" + str(value).replace("'", "''") + "'"

    def close(self) -> None:
        for connection in (self._admin, *self._connections.values()):
            connection.close()


PLANS = ["planned now", "planned before"]
PLANNED = pytest.mark.parametrize("plan", PLANS)


def pages(backlog: Backlog, plan: str) -> dict[str, int]:
    """Return how many pages each way to claim touches."""
    ways = {f"{kind}, {queue}": (kind, queue) for kind in QUEUES for queue in ("long", "short")}
    return {way: backlog.buffers(plan, kind, queue) for way, (kind, queue) in ways.items()} | {
        "both queues": backlog.buffers(plan, "without a budget", "long", "short")
    }


Measured = tuple[Backlog, dict[str, dict[str, int]]]


@pytest.fixture(scope="module", params=["never analysed", "analysed"])
def measured(request: pytest.FixtureRequest, server: Server, template: str) -> Iterator[Measured]:
    """Return a backlog, and how many pages a claim touched before it came to be."""
    name = f"test_{clock.random_token()}"
    url = server.create_database(name, template)
    with closing(PostgresProvider(url)) as provider:
        make_executor(provider, "first")
    with closing(Backlog(url)) as backlog:
        backlog.fill("long", FEW)
        backlog.fill("short", FEW)
        before = {plan: pages(backlog, plan) for plan in PLANS}
        backlog.empty()
        backlog.fill("long", MANY)
        backlog.fill("short", FEW)
        if request.param == "analysed":
            backlog.analyse()
        yield backlog, before
    server.drop_database(name)


@PLANNED
def test_a_claim_touches_hardly_more_pages_because_many_wait(measured: Measured, plan: str) -> None:
    backlog, before = measured

    now = pages(backlog, plan)

    ratios = {way: now[way] / touched for way, touched in before[plan].items()}
    assert {way: ratio for way, ratio in ratios.items() if ratio > RATIO_MAX} == {}


def test_all_queues_in_one_branch_would_be_seen(measured: Measured) -> None:
    backlog, before = measured
    bug = ("and w.queue_name = q.name and", "and w.queue_name = any(%(queues)s::text[]) and")

    touched = backlog.buffers("planned now", "without a budget", "long", "short", bug=bug)

    assert touched > RATIO_MAX * before["planned now"]["both queues"]


def test_a_claim_without_the_index_of_its_order_would_be_seen(measured: Measured) -> None:
    backlog, before = measured

    touched = backlog.buffers("planned now", "without a budget", "long", ddl="drop index dbos.durust_claim_order")

    assert touched > RATIO_MAX * before["planned now"]["without a budget, long"]


# Once there are statistics, the planner itself takes the index of the partitions.
@pytest.mark.parametrize("measured", ["never analysed"], indirect=True)
def test_a_look_at_each_partition_in_the_order_of_the_queue_would_be_seen(measured: Measured) -> None:
    backlog, before = measured
    bug = ("w.status in ('ENQUEUED', 'PENDING') and w.status = r.status", "w.status = 'ENQUEUED'")

    touched = backlog.buffers("planned now", "with partitions", "long", bug=bug)

    assert touched > RATIO_MAX * before["planned now"]["with partitions, long"]
