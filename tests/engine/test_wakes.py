"""Queued work wakes who is idle, from whatever process it comes; where every hint is lost the poll finds it.

Idle engines look by themselves only after a minute, and every wait here ends long before that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from durust import DurableClient, DurableEngine, Settings, Status, SyncDurableContext, WorkflowOptions, WorkflowQueue
from durust.storage.announcements import CHANNEL
from durust.storage.links import Call
from durust.storage.postgres_link import PostgresLink
from tests.conformance.conftest import SHARED
from tests.engine.clients import launch, make_client
from tests.engine.stage import PATIENCE, QUICK, Stage, parts
from tests.support.hintless import HintlessLine
from tests.support.processes import Spawn
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# Neither a poll nor a sweep comes by before a test has failed.
ASLEEP: dict[str, Any] = {"idle_poll_seconds": 60.0, "sweep_seconds": 60.0, "audit_seconds": 60.0}
assert 0.75 * ASLEEP["idle_poll_seconds"] > 2 * TIMEOUT_SECONDS

# A program that ends as soon as it has queued: neither `with` nor `close()`.
QUEUE_AND_END = """
import sys
import durust

client = durust.DurableClient(sys.argv[1])
print(client.enqueue("mail", "double", 4).id)
"""
QUEUE_IN_A_TRANSACTION = """
import sqlite3, sys
import durust, psycopg

url = sys.argv[1]
own = sqlite3.connect(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else psycopg.connect(url)
print(durust.DurableClient(url).enqueue_in_transaction(own, "mail", "double", 4).id)
own.commit()
"""
QUEUE_BY_AN_ENGINE = """
import sys
import durust

durust.WorkflowQueue("mail")
durust.workflow(name="double")(lambda ctx, number: 2 * number)
with durust.DurableEngine(sys.argv[1], queues=[]) as engine:
    print(engine.enqueue("mail", "double", 4).id)
"""
on_shared = pytest.mark.parametrize("url", SHARED, indirect=True)
on_postgres = pytest.mark.parametrize("url", ["postgres"], indirect=True)


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


def wait_until_idle(stage: Stage, engine: DurableEngine) -> None:
    """Wait until the claimer has gone to sleep: from here on only a hint wakes it."""
    line, claimer = stage.line_of(engine), parts(engine).claimer
    eventually(lambda: line.calls["claim"] and not claimer._wake.is_set() and not claimer.mutex.locked())


@on_shared
@pytest.mark.covers(97, 110)
@pytest.mark.parametrize("program", [QUEUE_AND_END, QUEUE_IN_A_TRANSACTION, QUEUE_BY_AN_ENGINE])
def test_work_of_another_process_wakes_an_idle_engine(stage: Stage, spawn: Spawn, program: str) -> None:
    engine = launch(stage, double, **ASLEEP)
    wait_until_idle(stage, engine)

    process = spawn("-c", program, stage.url)

    assert (process.wait(), process.stderr) == (0, "")
    eventually(lambda: stage.row(process.stdout.strip()).status is Status.SUCCESS)


@pytest.mark.covers(110)
def test_many_that_come_at_once_and_one_that_is_due_now_wake_an_idle_engine(stage: Stage) -> None:
    engine = launch(stage, double, **ASLEEP)
    wait_until_idle(stage, engine)

    with make_client(stage) as client:
        handles = client.enqueue_many("mail", "double", [(number,) for number in range(100)])
        later = client.enqueue("mail", "double", 7, options=WorkflowOptions(delay=3600))

        assert [handle.get_result(TIMEOUT_SECONDS) for handle in handles] == [2 * number for number in range(100)]
        client.set_delay(later.id, 0)
        assert later.get_result(TIMEOUT_SECONDS) == 14


@pytest.mark.covers(110)
def test_a_client_that_waits_hears_of_the_end(stage: Stage) -> None:
    gate = threading.Event()

    def held(_: SyncDurableContext) -> bool:
        return gate.wait(PATIENCE)

    launch(stage, held)
    with make_client(stage, idle_poll_seconds=600.0) as client:
        handle = client.enqueue("mail", "held")
        # Its looks come ever less often: after these it would be blind for half a minute.
        with pytest.raises(TimeoutError):
            handle.get_result(3)
        waiting = threading.Thread(target=handle.get_result, args=(TIMEOUT_SECONDS,))
        waiting.start()

        gate.set()

        waiting.join(TIMEOUT_SECONDS)
        assert not waiting.is_alive()


@pytest.mark.covers(93)
def test_where_every_hint_is_lost_the_poll_finds_the_work_of_a_client(stage: Stage) -> None:
    line = HintlessLine(stage.make_line().behind)
    stage._lines.append(line)
    engine = DurableEngine(line, settings=Settings(**{**QUICK, "idle_poll_seconds": 0.3}))
    stage._engines.append(engine)
    engine.register("double", double)
    engine.register_queue(WorkflowQueue("mail"))
    engine.launch()

    with DurableClient(HintlessLine(line.behind), settings=Settings(**QUICK)) as client:
        assert client.enqueue("mail", "double", 4).get_result(PATIENCE) == 8


@on_postgres
def test_behind_a_pooler_nobody_listens_and_the_poll_finds_the_work(stage: Stage) -> None:
    url = f"{stage.url}&pooler=transaction"
    engine = DurableEngine(url, settings=Settings(**QUICK))
    stage._engines.append(engine)
    engine.register("double", double)
    engine.register_queue(WorkflowQueue("mail"))
    engine.launch()

    with DurableClient(url, settings=Settings(**QUICK)) as client:
        assert client.enqueue("mail", "double", 4).get_result(PATIENCE) == 8
    with psycopg.connect(stage.url) as database:
        # In this database: others of the server have listeners of their own.
        listening = database.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'"
        ).fetchone()
    assert listening == (0,)


# Notifications and the hot transaction ----------------------------------------------------------------------------


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the names of the statements of each transaction that any link has committed, in their order."""
    seen: list[list[str]] = []
    run: Callable[..., Any] = PostgresLink.run

    def watched(link: PostgresLink, calls: Sequence[Call]) -> Any:
        answer = run(link, calls)
        seen.append([call.statement.name for call in calls])
        return answer

    monkeypatch.setattr(PostgresLink, "run", watched)
    return seen


@on_postgres
@pytest.mark.protocol("4.notifications.coalesced")
def test_hints_come_after_the_commit_gathered_in_transactions_of_their_own(
    stage: Stage, transactions: list[list[str]]
) -> None:
    launch(stage, double, queue="other")

    with make_client(stage) as client, psycopg.connect(stage.url, autocommit=True) as listener:
        listener.execute(f"listen {CHANNEL}")
        client.enqueue("mail", "double", 1)
        client.enqueue_many("mail", "double", [(number,) for number in range(5000)])
        client.close()
        heard = list(listener.notifies(timeout=1))

    starts = [names for names in transactions if "start_workflows" in names]
    hints = [names for names in transactions if any("announce" in name for name in names)]
    assert all(names == ["announce_hints"] for names in hints)
    assert transactions.index(starts[0]) < transactions.index(hints[0])
    # The sessions that wrote notified nobody.
    assert 1 <= len(heard) == len(hints) <= len(starts)
