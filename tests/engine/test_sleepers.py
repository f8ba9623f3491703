"""Ten thousand sleeping workflows cost ten thousand rows, and nothing in the process."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psutil
import psycopg
import pytest

from durust import DurableContext, DurableEngine, SyncDurableContext, WorkflowQueue
from durust.model.status import Status
from tests.engine.stage import Stage, parts
from tests.support.waiting import eventually

SLEEPERS = 10_000
SLOTS = 100
WOKEN = 100
HOUR_SECONDS = 3600
# What a claim in flight and the allocator's own slack may hold on to; ten thousand stacks would take far more.
GROWTH_BYTES_MAX = 50_000_000
# Each sleeper takes three commits of a batch: its claim, its instant, its park.
PATIENCE_SECONDS = 100.0


async def doze(ctx: DurableContext, number: int) -> int:
    await ctx.sleep(HOUR_SECONDS)
    return number


def nap(ctx: SyncDurableContext, number: int) -> int:
    ctx.sleep(HOUR_SECONDS)
    return number


def count(stage: Stage, *statuses: Status) -> int:
    return len(stage.rows(statuses=statuses, limit=2 * SLEEPERS))


def footprint() -> tuple[int, int]:
    """Return how many threads this process has, and how many bytes are resident."""
    gc.collect()
    return threading.active_count(), psutil.Process().memory_info().rss


def wake(url: str, ids: list[str]) -> None:
    """Move the due time of workflows to now, both where it is waited for and where it is recorded."""
    names = ", ".join(f"'{name}'" for name in ids)
    for table, change in {
        "workflow_status": "delay_until_epoch_ms = 1",
        "operation_outputs": "output = '1.0', completed_at_epoch_ms = 1000",
    }.items():
        if url.startswith("sqlite:"):
            with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30) as file:
                file.execute(f"update {table} set {change} where workflow_uuid in ({names})")
            file.close()
        else:
            with psycopg.connect(url) as server:
                server.execute(f"update dbos.{table} set {change} where workflow_uuid in ({names})".encode())


def launch(stage: Stage, workflow: Callable[..., Any]) -> DurableEngine:
    engine = stage.make_engine(slots=SLOTS, park_after_seconds=1.0, idle_poll_seconds=1.0)
    engine.register(workflow.__name__, workflow)
    engine.register_queue(WorkflowQueue("beds"))
    engine.launch()
    return engine


@pytest.mark.timeout(300)
@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("workflow", [doze, nap])
def test_ten_thousand_sleepers_cost_rows_and_no_threads(stage: Stage, url: str, workflow: Callable[..., Any]) -> None:
    engine = launch(stage, workflow)
    # Everything that is made on first use is made now.
    engine.enqueue_many("beds", workflow.__name__, [(number,) for number in range(SLOTS)])
    eventually(lambda: count(stage, Status.DELAYED) == SLOTS, PATIENCE_SECONDS)
    eventually(lambda: not any(thread.name.startswith("durust-run") for thread in threading.enumerate()))
    threads, resident = footprint()

    handles = engine.enqueue_many("beds", workflow.__name__, [(number,) for number in range(SLOTS, SLEEPERS)])

    ids = [handle.id for handle in handles[:WOKEN]]
    del handles
    eventually(lambda: count(stage, Status.DELAYED) == SLEEPERS, PATIENCE_SECONDS)
    assert count(stage, Status.PENDING) == 0
    eventually(lambda: parts(engine).runner.roster.running() == [])
    eventually(lambda: footprint()[0] <= threads)
    assert footprint()[1] - resident < GROWTH_BYTES_MAX
    engine.close()

    again = launch(stage, workflow)
    wake(url, ids)

    woken = [again.retrieve_workflow(name) for name in ids]
    assert [handle.get_result(PATIENCE_SECONDS) for handle in woken] == list(range(SLOTS, SLOTS + WOKEN))
    assert {row.attempts for row in stage.rows(workflow_ids=ids)} == {1}
    assert count(stage, Status.DELAYED) == SLEEPERS - WOKEN
