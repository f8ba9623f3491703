"""Versions of an engine: registered at its launch, chosen or computed; and what is stranded is adopted."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableEngine,
    ProviderUnavailable,
    StepDiverged,
    VersionNotFound,
    WorkflowNotFound,
    WorkflowOptions,
)
from durust.engine.registry import Definition, Registry
from durust.engine.versions import Versions
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE
from tests.conformance.builders import start
from tests.conformance.conftest import rewriter
from tests.engine.bodies import Bodies
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.processes import ROOT
from tests.support.waiting import eventually

NO_ARGUMENTS = '{"positionalArgs":[]}'


def one(ctx: Any) -> str:
    """Take one step."""
    return str(ctx.step("one", lambda: "one"))


def other(ctx: Any) -> str:
    """Take another step."""
    return str(ctx.step("other", lambda: "other"))


def launch_as(stage: Stage, version: str | None, **workflows: Callable[..., Any]) -> DurableEngine:
    """Return a launched engine of a version."""
    engine = stage.make_engine(app_version=version)
    for name, function in workflows.items():
        engine.register(name, function)
    engine.launch()
    return engine


def make_stranded(stage: Stage, workflow_id: str = "old", *, name: str = "work", **fields: Any) -> str:
    """Queue a workflow for a version that nobody has."""
    values = {"inputs": NO_ARGUMENTS, "queue": None, "app_version": "v0", "name": name}
    stage.commit(start(workflow_id, **(values | fields)))
    return workflow_id


def application_version(app_name: str = "shop", **workflows: Callable[..., Any]) -> str:
    registry = Registry()
    for name, function in workflows.items():
        registry.add(Definition(name, function))
    return Versions(registry, app_name, None).application()


@pytest.mark.covers(166)
def test_the_version_of_an_application_is_that_of_all_its_workflows() -> None:
    version = application_version(a=one, b=other)

    assert application_version(b=other, a=one) == version
    assert application_version(a=one) != version
    assert application_version(a=one, b=one) != version
    assert application_version("store", a=one, b=other) != version


@pytest.mark.covers(166)
def test_the_version_of_an_application_is_the_same_in_every_process() -> None:
    program = (
        "from tests.engine.test_versions import application_version, one, other; "
        "print(application_version(a=one, b=other))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert printed == {application_version(a=one, b=other)}


@pytest.mark.covers(167)
def test_a_launch_registers_its_version_once(stage: Stage) -> None:
    first = launch_as(stage, None, work=one)
    [row] = first.list_versions()
    assert dict(row.workflows) == dict(parts(first).versions.workflows())
    assert dict(row.workflows)["work"] == Definition("work", one).version
    assert (row.name, row.executors) == (parts(first).versions.application(), 1)
    first.close()

    second = launch_as(stage, None, work=one)

    [again] = second.list_versions()
    assert (again.name, again.promoted_at_ms, again.executors) == (row.name, row.promoted_at_ms, 1)


@pytest.mark.covers(167)
def test_new_code_is_the_latest_until_another_one_is_promoted(stage: Stage) -> None:
    old, new = launch_as(stage, None, work=one), launch_as(stage, None, work=other)
    older, newer = (parts(engine).versions.application() for engine in (old, new))
    assert [row.name for row in new.list_versions()] == [newer, older]

    new.set_latest_version(older)

    latest = old.latest_version()
    assert latest is not None
    assert latest.name == older
    with pytest.raises(VersionNotFound, match=f"there is no version 'v9'.*{older}, {newer}"):
        new.set_latest_version("v9")


@pytest.mark.covers(88)
def test_work_without_a_version_is_taken_by_every_version_and_gets_it(stage: Stage) -> None:
    old = launch_as(stage, "v1", work=one)
    launch_as(stage, "v2", work=one)
    old.set_latest_version("v2")

    stage.commit(*(start(f"{number}", inputs=NO_ARGUMENTS, queue=None, name="work") for number in range(20)))

    eventually(lambda: all(row.status is Status.SUCCESS for row in stage.rows()), PATIENCE)
    assert {row.app_version for row in stage.rows()} <= {"v1", "v2"}


@pytest.mark.covers(88)
def test_a_chosen_version_is_that_of_each_workflow(stage: Stage) -> None:
    engine = launch_as(stage, "v1", work=one, rest=other)

    handle = engine.run_workflow("work")
    pinned = engine.run_workflow("rest", options=WorkflowOptions(app_version="v1"))

    assert (handle.get_result(PATIENCE), pinned.get_result(PATIENCE)) == ("one", "other")
    assert {stage.row(handle).app_version, stage.row(pinned).app_version} == {"v1"}
    [row] = engine.list_versions()
    assert (row.name, {version for _, version in row.workflows}) == ("v1", {"v1"})
    assert {"rest", "work"} <= dict(row.workflows).keys()


@pytest.mark.covers(54, 88)
def test_a_version_is_claimed_by_its_own_engines_alone(stage: Stage) -> None:
    first, second = launch_as(stage, "v1", work=one), launch_as(stage, "v2", work=other)

    handles = [second.run_workflow("work", options=WorkflowOptions(app_version=version)) for version in ("v1", "v2")]

    assert [handle.get_result(PATIENCE) for handle in handles] == ["one", "other"]
    first.close()
    waits = second.run_workflow("work", options=WorkflowOptions(app_version="v1"))
    assert second.run_workflow("work").get_result(PATIENCE) == "other"
    assert stage.row(waits).status is Status.ENQUEUED
    assert [row.workflow_id for row in second.list_stranded()] == [waits.id]


def test_a_workflow_that_is_registered_late_is_announced(stage: Stage) -> None:
    engine = launch_as(stage, None, work=one)
    before = parts(engine).versions.application()

    engine.register("late", other)
    parts(engine).claimer.wake()

    eventually(lambda: {row.name for row in engine.list_versions() if row.executors} != {before})
    [row] = [row for row in engine.list_versions() if row.executors]
    assert {"late", "work"} <= dict(row.workflows).keys()


def test_what_was_registered_while_the_database_was_away_is_announced_later(stage: Stage) -> None:
    engine = launch_as(stage, None, work=one)
    line = stage.line_of(engine)
    line.cut()
    engine.register("late", other)
    with pytest.raises(ProviderUnavailable):
        parts(engine).claimer.run_once()

    line.mend()

    eventually(lambda: any("late" in dict(row.workflows) for row in engine.list_versions() if row.executors))


def test_what_is_stranded_is_listed_and_adopted(stage: Stage) -> None:
    make_stranded(stage, "a")
    make_stranded(stage, "b", name="unknown")
    engine = launch_as(stage, "v1", work=one)
    assert [row.workflow_id for row in engine.list_stranded()] == ["a", "b"]

    handles = engine.adopt_stranded()

    assert [(handle.id, handle.get_result(PATIENCE)) for handle in handles] == [("a", "one")]
    assert stage.row("a").app_version == "v1"
    assert [row.workflow_id for row in engine.list_stranded()] == ["b"]


def test_what_nobody_registered_is_left_and_told_of(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    make_stranded(stage, name="unknown")
    engine = launch_as(stage, "v1", work=one)

    with caplog.at_level(logging.WARNING, "durust"):
        assert engine.adopt_stranded() == []

    assert "cannot be adopted here, where nobody registered them: unknown" in caplog.text
    assert stage.row("old").app_version == "v0"


def test_of_several_only_those_that_are_named_are_adopted(stage: Stage) -> None:
    for name in "abc":
        make_stranded(stage, name)
    engine = launch_as(stage, "v1", work=one)

    handles = engine.adopt_stranded(["a", "c"])

    assert sorted(handle.id for handle in handles) == ["a", "c"]
    assert [row.workflow_id for row in engine.list_stranded()] == ["b"]
    with pytest.raises(WorkflowNotFound):
        engine.adopt_stranded(["b", "unknown"])
    assert [row.workflow_id for row in engine.list_stranded()] == ["b"]


def test_more_than_a_page_is_adopted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.commit(
        *(
            start(f"{number:04}", inputs=NO_ARGUMENTS, queue="nobody serves it", app_version="v0", name="work")
            for number in range(1005)
        )
    )
    engine = launch_as(stage, "v1", work=one)

    assert len(engine.adopt_stranded()) == 1005
    assert engine.list_stranded() == []


def test_a_client_lets_the_latest_version_go_on(stage: Stage, client: DurableClient) -> None:
    make_stranded(stage, "a")
    make_stranded(stage, "b", name="unknown")
    launch_as(stage, "v1", work=one)
    assert [row.workflow_id for row in client.list_stranded()] == ["a", "b"]

    [adopted] = client.adopt_stranded()

    assert (adopted.id, adopted.get_result(PATIENCE)) == ("a", "one")
    assert stage.row("a").app_version == "v1"
    assert [row.workflow_id for row in client.list_stranded()] == ["b"]


def test_the_version_that_goes_on_can_be_named(stage: Stage, client: DurableClient) -> None:
    for each in "abc":
        make_stranded(stage, each)
    launch_as(stage, "v1", work=one)
    newer = launch_as(stage, "v2", work=one)

    client.adopt_stranded(["a"], version="v1")
    newer.adopt_stranded(["b"], version="v1")
    newer.adopt_stranded(["c"])

    assert [stage.row(each).app_version for each in "abc"] == ["v1", "v1", "v2"]
    with pytest.raises(VersionNotFound, match=r"v9.*registered: v2, v1"):
        client.adopt_stranded(version="v9")


def test_a_client_adopts_nothing_where_no_version_is_registered(client: DurableClient) -> None:
    with pytest.raises(VersionNotFound, match="registered: none"):
        client.adopt_stranded()


@pytest.mark.covers(167)
def test_a_client_promotes_a_version(stage: Stage, client: DurableClient) -> None:
    assert client.latest_version() is None
    launch_as(stage, "v1", work=one)
    launch_as(stage, "v2", work=one)

    client.set_latest_version("v1")

    assert [row.name for row in client.list_versions()] == ["v1", "v2"]
    assert client.latest_version() == client.list_versions()[0]


def test_the_awaiting_view_of_a_client_knows_versions_too(stage: Stage) -> None:
    make_stranded(stage)
    launch_as(stage, "v1", work=one)

    async def act() -> list[str]:
        async with make_client(stage).aio as client:
            return [await handle for handle in await client.adopt_stranded(version="v1")]

    assert asyncio.run(act()) == ["one"]


def test_the_awaiting_view_knows_versions_too(stage: Stage) -> None:
    make_stranded(stage)
    engine = launch_as(stage, "v1", work=one)

    async def ask() -> tuple[list[str], list[str], list[Any]]:
        await engine.aio.set_latest_version("v1")
        latest = await engine.aio.latest_version()
        versions = [row.name for row in await engine.aio.list_versions()]
        waiting = [row.workflow_id for row in await engine.aio.list_stranded()]
        results = [await handle for handle in await engine.aio.adopt_stranded()]
        assert latest is not None
        return [latest.name, *versions], waiting, results

    assert asyncio.run(ask()) == (["v1", "v1"], ["old"], ["one"])


@pytest.mark.covers(33, 54)
def test_an_adopted_run_whose_steps_do_not_fit_ends_and_is_not_tried_again(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def old(ctx: Any) -> Any:
        yield ctx.step("by road", bodies.body("by road"))
        yield ctx.sleep(600)

    @paint
    def new(ctx: Any) -> Any:
        yield ctx.step("by air", bodies.body("by air"))

    engine = launch_as(stage, "v1", work=old)
    handle = engine.run_workflow("work")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    engine.close()
    newer = launch_as(stage, "v2", work=new)

    [adopted] = newer.adopt_stranded()
    rush(stage, handle.id)

    with pytest.raises(StepDiverged) as caught:
        adopted.get_result(PATIENCE)
    assert (caught.value.place, caught.value.asked, caught.value.recorded) == (1, "by air", "by road")
    row = stage.row(handle)
    assert (row.status, row.attempts, row.queue) == (Status.ERROR, 1, INTERNAL_QUEUE)
    assert bodies == ["by road"]


def rush(stage: Stage, workflow_id: str) -> None:
    """Let a sleep be over."""
    rewriter(stage.url, stage.provider)(workflow_id, delay_until_epoch_ms=1)
