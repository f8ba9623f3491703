"""What has ended is removed on demand or in the background, and never what still runs or waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durust import DurableClient, DurableEngine, InvalidArgument, Purged, WorkflowHandle, WorkflowNotFound
from durust.engine.retention import purge_in_batches
from durust.model.filters import PurgeRequest, Scope
from durust.model.status import Status
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually


def brief(ctx: Any) -> int:
    """Take one step."""
    return int(ctx.step("one", lambda: 1))


def make_ended(engine: DurableEngine, count: int) -> list[WorkflowHandle[Any]]:
    """Run so many workflows to their ends, one after the other."""
    handles = []
    for _ in range(count):
        handles.append(engine.run_workflow("brief"))
        handles[-1].get_result(PATIENCE)
    return handles


def left(stage: Stage) -> list[str]:
    return [row.workflow_id for row in stage.rows()]


@pytest.mark.covers(173)
def test_a_purge_removes_what_has_ended_and_says_how_much(stage: Stage) -> None:
    engine = stage.launch(brief)
    handles = make_ended(engine, 3)

    assert engine.purge(older_than=timedelta(days=1)) == Purged()
    assert engine.purge(keep=1) == Purged(workflows=2)
    assert left(stage) == [handles[2].id]
    assert engine.purge(older_than=0) == Purged(workflows=1)
    with pytest.raises(WorkflowNotFound):
        engine.retrieve_workflow(handles[0].id)


@pytest.mark.covers(173)
def test_what_runs_or_sleeps_is_whole_after_a_purge(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> str:
        bodies.append("wait")
        assert gate.wait(PATIENCE)
        return "waited"

    @paint
    def runs(ctx: Any) -> Any:
        one = yield ctx.step("one", bodies.body("one", 1))
        return [one, (yield ctx.step("two", wait))]

    @paint
    def sleeps(ctx: Any) -> Any:
        one = yield ctx.step("one", bodies.body("asleep", 1))
        yield ctx.sleep(1.0)
        return [one, (yield ctx.step("two", bodies.body("awake", 2)))]

    engine = stage.launch(brief, runs, sleeps)
    running, sleeping = engine.run_workflow("runs"), engine.run_workflow("sleeps")
    eventually(lambda: "wait" in bodies and stage.row(sleeping).status is Status.DELAYED)
    make_ended(engine, 2)

    purged = engine.purge(older_than=0, keep=0)

    assert purged == Purged(workflows=2)
    gate.set()
    assert running.get_result(PATIENCE) == [1, "waited"]
    assert sleeping.get_result(PATIENCE) == [1, 2]
    assert sorted(bodies) == ["asleep", "awake", "one", "wait"]


def test_a_purge_without_a_bound_is_refused(stage: Stage) -> None:
    engine = stage.launch(brief)

    with pytest.raises(InvalidArgument, match="how old, or how many"):
        engine.purge()


def test_the_awaiting_view_purges_too(stage: Stage) -> None:
    engine = stage.launch(brief)
    make_ended(engine, 2)

    assert asyncio.run(engine.aio.purge(keep=1)) == Purged(workflows=1)


@pytest.mark.covers(173)
def test_a_client_purges_what_names_its_application(stage: Stage, client: DurableClient) -> None:
    engine = stage.launch(brief)
    handles = make_ended(engine, 2)

    assert client.purge(older_than=timedelta(days=1)) == Purged()
    assert client.purge(keep=1) == Purged(workflows=1)
    assert left(stage) == [handles[1].id]
    assert asyncio.run(client.aio.purge(older_than=0)) == Purged(workflows=1)
    with pytest.raises(InvalidArgument, match="how old, or how many"):
        client.purge()


@pytest.mark.covers(173)
def test_many_go_batch_after_batch_up_to_a_bound(stage: Stage) -> None:
    engine = stage.launch(brief)
    make_ended(engine, 7)
    request = PurgeRequest(scope=Scope("durust", ()), keep_newest=0, limit=2)

    assert purge_in_batches(stage.provider, request, batches_max=2) == Purged(workflows=4, more=True)
    assert purge_in_batches(stage.provider, request) == Purged(workflows=3)


@pytest.mark.parametrize("setting", [{"retention_seconds": 0.0}, {"retention_count": 0}])
def test_the_background_service_removes_what_the_settings_say(stage: Stage, setting: dict[str, Any]) -> None:
    engine = stage.launch(brief, **setting)
    make_ended(engine, 1)

    parts(engine).retention.wake()

    eventually(lambda: left(stage) == [])


def test_without_a_setting_the_background_service_removes_nothing(stage: Stage) -> None:
    engine = stage.launch(brief)
    handles = make_ended(engine, 2)

    parts(engine).retention.run_once()

    assert left(stage) == [handle.id for handle in handles]


def test_a_round_that_was_cut_short_is_followed_by_the_next_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stage.launch(brief)
    retention = parts(engine).retention
    answers = iter([Purged(workflows=100, more=True), Purged(workflows=3)])
    monkeypatch.setattr(stage.line_of(engine), "purge", lambda _: next(answers))

    first, second = round_of(retention.run_once), round_of(retention.run_once)

    assert first < 1.0 < second


def round_of(run_once: Callable[[], float]) -> float:
    return run_once()
