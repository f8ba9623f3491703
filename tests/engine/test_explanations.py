"""Why a workflow does not run, asked of the engine that runs it, and of a client beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durust import SyncDurableContext, WorkflowNotFound, WorkflowOptions
from durust.model.status import Status
from tests.engine.clients import launch, make_client
from tests.engine.stage import Stage
from tests.support.gauge import Gauge
from tests.support.waiting import eventually

LONG_SECONDS = 600.0


def sleeper(ctx: SyncDurableContext) -> None:
    ctx.sleep(LONG_SECONDS)


def receiver(ctx: SyncDurableContext) -> None:
    ctx.recv("paid", timeout=LONG_SECONDS)


def waiter(ctx: SyncDurableContext) -> None:
    ctx.get_event("not there yet", "ready", timeout=LONG_SECONDS)


def parent(ctx: SyncDurableContext) -> None:
    ctx.start_workflow("sleeper", options=WorkflowOptions(workflow_id="child")).get_result()


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (receiver, "waits_for_message", "waits for a message on topic 'paid', at the latest until "),
        (waiter, "waits_for_event", "waits for event 'ready' of workflow 'not there yet', at the latest until "),
        (parent, "waits_for_result", "waits for the result of workflow 'child'"),
    ],
    ids=["message", "event", "result"],
)
def test_an_engine_tells_what_a_parked_run_waits_for(stage: Stage, body: Any, code: str, said: str) -> None:
    engine = launch(stage, body, sleeper)
    handle = engine.run_workflow(body.__name__)
    eventually(lambda: handle.get_status().status is Status.DELAYED)

    found = engine.explain_workflow(handle.id)

    assert (found.code, said in found.sentence) == (code, True), found.sentence


def test_an_engine_tells_where_a_workflow_runs_and_why_another_one_waits(stage: Stage) -> None:
    gauge = Gauge()

    def visitor(ctx: SyncDurableContext) -> None:
        ctx.step("enter", lambda: None)
        ctx.step("visit", gauge.visit)

    engine = launch(stage, visitor)
    engine.set_queue("mail", global_concurrency=1)
    inside = engine.enqueue("mail", visitor.__name__)
    eventually(lambda: gauge.now == 1)
    waiting = engine.enqueue("mail", visitor.__name__)

    here, there = engine.explain_workflow(inside.id), engine.explain_workflow(waiting.id)
    gauge.open()

    assert here.code == "running"
    assert f"is running on executor {engine.executor_id} " in here.sentence
    assert "; its last recorded step is 'enter', " in here.sentence
    assert there.code == "global_limit"
    assert there.sentence.endswith("is queued on queue 'mail', which runs its limit of 1 (global_concurrency)")
    waiting.get_result()
    assert engine.explain_workflow(waiting.id).code == "succeeded"


def test_a_client_tells_until_when_a_workflow_sleeps(stage: Stage) -> None:
    engine = launch(stage, sleeper)
    handle = engine.run_workflow(sleeper.__name__)
    eventually(lambda: handle.get_status().status is Status.DELAYED)

    with make_client(stage) as client:
        asked = client.explain_workflow(handle.id)
        awaited = asyncio.run(client.aio.explain_workflow(handle.id))

    assert (asked.code, awaited.code) == ("asleep", "asleep")
    assert "is asleep until " in asked.sentence


def test_what_is_not_there_has_no_reason(stage: Stage) -> None:
    engine = launch(stage, sleeper)

    with pytest.raises(WorkflowNotFound):
        engine.explain_workflow("gone")
