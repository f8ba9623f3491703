"""A cancel by another process: told at once by a hint, noticed by looking within two seconds, and final."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from durust import DurableClient, DurableEngine, Settings, Status, WorkflowQueue
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, QUICK, Stage, parts
from tests.support.hintless import HintlessLine
from tests.support.processes import Spawn
from tests.support.waiting import eventually

HOUR = 3600.0
# Nothing is looked at within the test's patience, so only a hint can tell.
DEAF: dict[str, Any] = {"sweep_seconds": HOUR, "idle_poll_seconds": 60.0, "audit_seconds": HOUR}
# What is promised, and what a busy machine takes on top.
NOTICED_SECONDS, SLACK_SECONDS = 2.0, 1.0
CANCEL = """
import sys, durust
with durust.DurableClient(sys.argv[1]) as client:
    print(client.cancel_workflow(sys.argv[2]))
"""


def make_job(paint: Paint, seen: Bodies) -> Any:
    """Return a workflow whose one step waits for an hour and notes when it is cut short."""

    async def work() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(HOUR)
        finally:
            seen.append("stopped")

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("work", work)

    return job


@pytest.mark.covers(128)
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_cancel_by_another_process_reaches_the_body_by_its_hint(
    stage: Stage, url: str, paint: Paint, spawn: Spawn
) -> None:
    seen = Bodies()
    engine = stage.launch(make_job(paint, seen), **DEAF)
    handle = engine.run_workflow("job")
    eventually(lambda: seen == ["begun"])

    other = spawn("-c", CANCEL, url, handle.id)

    assert other.wait() == 0, other.stderr
    eventually(lambda: seen == ["begun", "stopped"])
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert (stage.row(handle).status, stage.history(handle)) == (Status.CANCELLED, {})


@pytest.mark.covers(128)
@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("is_young", [True, False], ids=["just begun", "looked at before"])
def test_a_cancel_whose_hint_is_lost_is_noticed_within_two_seconds(
    stage: Stage, url: str, paint: Paint, *, is_young: bool
) -> None:
    seen = Bodies()
    line = HintlessLine(stage.make_line().behind)
    rhythms = QUICK | {"sweep_seconds": Settings().sweep_seconds, "idle_poll_seconds": 60.0, "audit_seconds": HOUR}
    with DurableEngine(line, settings=Settings(**rhythms)) as engine:
        engine.register("job", make_job(paint, seen))
        handle = engine.run_workflow("job")
        eventually(lambda: seen == ["begun"])
        token = stage.row(handle).token
        if not is_young:
            eventually(lambda: token in parts(engine).recalls._seen)

        with DurableClient(url) as client:
            client.cancel_workflow(handle.id)

        eventually(lambda: seen == ["begun", "stopped"], NOTICED_SECONDS + SLACK_SECONDS)
        assert stage.row(handle).status is Status.CANCELLED


@pytest.mark.covers(128)
@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_the_share_of_a_cancelled_run_is_free_only_when_its_body_has_stopped(
    stage: Stage, url: str, paint: Paint
) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold(name: str) -> None:
        bodies.append(name)
        if name == "first":
            assert gate.wait(PATIENCE)
        bodies.append(f"{name} stopped")

    @paint
    def job(ctx: Any, name: str) -> Any:
        yield ctx.step("hold", hold, name)

    engine = stage.make_engine()
    engine.register("job", job)
    engine.register_queue(WorkflowQueue("narrow", global_concurrency=1))
    engine.launch()
    first, second = (engine.enqueue("narrow", "job", name) for name in ("first", "second"))
    eventually(lambda: bodies == ["first"])
    claims = stage.line_of(engine).calls["claim"]

    with DurableClient(url) as client:
        client.cancel_workflow(first.id)

    eventually(lambda: stage.line_of(engine).calls["claim"] > claims + 3)
    assert (bodies, stage.row(second).status) == (["first"], Status.ENQUEUED)
    gate.set()
    second.get_result(PATIENCE)
    assert bodies == ["first", "first stopped", "second", "second stopped"]
    assert stage.row(first).status is Status.CANCELLED
