"""A patch tells a run which way to go: the new one unless its history was made by the old one behind that place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from durust import DurableContext, DurableEngine, InvalidArgument, StepDiverged, WorkflowHandle
from durust.model.status import Status
from tests.conformance.conftest import SHARED, Rewrite
from tests.engine import patching
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.processes import Spawn
from tests.support.waiting import eventually

Script = Callable[..., Any]
LONG_SECONDS = 600.0
PARALLEL = 40


def launch(stage: Stage, version: str, workflow: Script) -> DurableEngine:
    """Return a launched engine with one version of the workflow."""
    engine = stage.make_engine(app_version=version)
    engine.register("work", workflow)
    engine.launch()
    return engine


def leave_asleep(stage: Stage, workflow: Script) -> WorkflowHandle[Any]:
    """Run a workflow by version 1 until it sleeps, and end that."""
    engine = launch(stage, "v1", workflow)
    handle = engine.run_workflow("work")
    eventually(lambda: stage.row(handle).status is Status.DELAYED, PATIENCE)
    engine.close()
    return handle


def go_on(stage: Stage, rewrite: Rewrite, handle: WorkflowHandle[Any], workflow: Script) -> Any:
    """Let version 2 adopt the workflow, and its sleep be over; return the result."""
    engine = launch(stage, "v2", workflow)
    [adopted] = engine.adopt_stranded([handle.id])
    rewrite(handle.id, delay_until_epoch_ms=1)
    return adopted.get_result(PATIENCE)


@pytest.mark.covers(168)
def test_a_new_run_goes_the_new_way_and_so_does_its_replay(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> str:
        bodies.append("wait")
        if bodies.count("wait") == 1:
            assert gate.wait(PATIENCE)
        return "waited"

    @paint
    def work(ctx: Any) -> Any:
        way = "new" if (yield ctx.patch("way")) else "old"
        yield ctx.step(way, bodies.body(way))
        yield ctx.step("wait", wait)
        return way

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: "wait" in bodies)
    stage.crash(engine)
    gate.set()

    assert stage.launch(work).retrieve_workflow(handle.id).get_result(PATIENCE) == "new"
    assert bodies == ["new", "wait", "wait"]
    assert stage.names(handle) == {1: "DBOS.patch-way", 2: "new", 3: "wait"}
    marker = stage.history(handle)[1]
    assert (marker.output, marker.error, marker.started_at_ms) == ("null", None, marker.completed_at_ms)


@pytest.mark.covers(168)
def test_a_run_that_has_passed_the_place_goes_the_old_way(stage: Stage, paint: Paint, rewrite: Rewrite) -> None:
    bodies = Bodies()

    @paint
    def old(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(1.0)
        yield ctx.step("two", bodies.body("two"))
        return "old"

    @paint
    def new(ctx: Any) -> Any:
        if not (yield ctx.patch("way")):
            yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(1.0)
        yield ctx.step("two", bodies.body("two"))
        return "new"

    handle = leave_asleep(stage, old)

    assert go_on(stage, rewrite, handle, new) == "new"
    assert bodies == ["one", "two"]
    assert "DBOS.patch-way" not in stage.names(handle).values()


@pytest.mark.covers(168)
def test_a_run_that_has_not_come_to_the_place_yet_goes_the_new_way(
    stage: Stage, paint: Paint, rewrite: Rewrite
) -> None:
    bodies = Bodies()

    @paint
    def old(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(1.0)
        yield ctx.step("two", bodies.body("two"))

    @paint
    def new(ctx: Any) -> Any:
        before = yield ctx.patch("before the sleep")
        yield ctx.step("one", bodies.body("one"))
        beside = yield ctx.patch("beside the sleep")
        yield ctx.sleep(1.0)
        behind = yield ctx.patch("behind the sleep")
        yield ctx.step("three", bodies.body("three"))
        return [before, beside, behind]

    handle = leave_asleep(stage, old)

    assert go_on(stage, rewrite, handle, new) == [False, False, True]
    assert bodies == ["one", "three"]
    assert stage.names(handle) == {1: "one", 2: "DBOS.sleep", 4: "DBOS.patch-behind the sleep", 5: "three"}


@pytest.mark.covers(168)
def test_a_patch_that_was_deprecated_passes_its_record_and_needs_none(
    stage: Stage, paint: Paint, rewrite: Rewrite
) -> None:
    bodies = Bodies()

    @paint
    def patched(ctx: Any) -> Any:
        if (yield ctx.patch("way")):
            yield ctx.step("new", bodies.body("new"))
        yield ctx.sleep(1.0)

    @paint
    def deprecated(ctx: Any) -> Any:
        answer = yield ctx.deprecate_patch("way")
        yield ctx.step("new", bodies.body("new"))
        yield ctx.sleep(1.0)
        return answer

    handle = leave_asleep(stage, patched)
    assert go_on(stage, rewrite, handle, deprecated) is None
    [engine] = [each for each in stage._engines if each._engine is not None]
    fresh = engine.run_workflow("work")

    assert fresh.get_result(PATIENCE) is None
    assert stage.names(handle)[1] == "DBOS.patch-way"
    assert stage.names(fresh) == {1: "new", 2: "DBOS.sleep"}
    assert bodies == ["new", "new"]


@pytest.mark.covers(33, 168)
def test_a_run_with_a_marker_diverges_where_the_code_knows_of_none(
    stage: Stage, paint: Paint, rewrite: Rewrite
) -> None:
    @paint
    def patched(ctx: Any) -> Any:
        yield ctx.patch("way")
        yield ctx.sleep(1.0)

    @paint
    def bare(ctx: Any) -> Any:
        yield ctx.sleep(1.0)

    handle = leave_asleep(stage, patched)

    with pytest.raises(StepDiverged) as caught:
        go_on(stage, rewrite, handle, bare)
    assert (caught.value.place, caught.value.asked, caught.value.recorded) == (1, "DBOS.sleep", "DBOS.patch-way")


@pytest.mark.covers(168)
def test_a_patch_in_a_loop_is_asked_each_time(stage: Stage, paint: Paint, rewrite: Rewrite) -> None:
    bodies = Bodies()

    @paint
    def old(ctx: Any) -> Any:
        for number in range(4):
            yield ctx.step(f"old {number}", bodies.body(f"old {number}"))
            if number == 1:
                yield ctx.sleep(1.0)

    @paint
    def new(ctx: Any) -> Any:
        ways = []
        for number in range(4):
            ways.append("new" if (yield ctx.patch("way")) else "old")
            yield ctx.step(f"{ways[-1]} {number}", bodies.body(f"{ways[-1]} {number}"))
            if number == 1:
                yield ctx.sleep(1.0)
        return ways

    handle = leave_asleep(stage, old)

    assert go_on(stage, rewrite, handle, new) == ["old", "old", "new", "new"]
    assert bodies == ["old 0", "old 1", "new 2", "new 3"]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 600])
def test_a_name_that_cannot_be_stored_is_refused(stage: Stage, paint: Paint, name: str) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.patch(name)

    handle = stage.launch(work).run_workflow("work")

    with pytest.raises(InvalidArgument, match="patch name"):
        handle.get_result(PATIENCE)


# Over the deaths of processes -----------------------------------------------------------------------------------------


@pytest.mark.covers(168)
@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("how", ["adopted by another version", "claimed by a version of the same name"])
def test_a_run_of_a_killed_process_ends_on_its_old_way_and_a_new_one_goes_the_new_way(
    stage: Stage, url: str, spawn: Spawn, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "done"
    victim = spawn("-m", "tests.engine.patching", url, str(file), "spring", "old", env={"RELEASE": "1"})
    eventually(lambda: (file.exists() and len(file.read_text().splitlines()) == 4) or not victim.running, PATIENCE)
    victim.kill()
    arguments = ["autumn", "adopt", "new"] if how.startswith("adopted") else ["spring", "old", "new"]

    heir = spawn("-m", "tests.engine.patching", url, str(file), *arguments, env={"RELEASE": "2"})

    assert heir.wait(PATIENCE * 2) == 0, heir.stderr
    for name in patching.WORKFLOWS:
        # The step that was under way happens twice, as always; nothing of the new way before it does.
        assert done(file, f"old-{name}") == [
            ("charge", victim.pid),
            ("ship", victim.pid),
            ("ship", heir.pid),
            ("thank", heir.pid),
        ]
        assert done(file, f"new-{name}") == [(step, heir.pid) for step in ("check", "charge", "ship", "thank")]
        assert f"old-{name} charge ship thank" in heir.stdout
        assert f"new-{name} check charge ship thank" in heir.stdout


def done(file: Path, workflow_id: str) -> list[tuple[str, int]]:
    """Return what was done for a workflow, in its order, each with the process that did it."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(step, int(pid)) for name, step, pid in lines if name == workflow_id]


# Several tasks --------------------------------------------------------------------------------------------------------


@pytest.mark.covers(168)
def test_patches_of_many_tasks_keep_their_answers(stage: Stage) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> None:
        bodies.append("wait")
        if bodies.count("wait") == 1:
            assert gate.wait(PATIENCE)

    async def part(ctx: DurableContext, number: int) -> str:
        await ctx.step(f"first {number}", bodies.body(f"first {number}"))
        way = "new" if await ctx.patch(f"way {number % 3}") else "old"
        await ctx.step(f"{way} {number}", bodies.body(f"{way} {number}"))
        return way

    async def work(ctx: DurableContext) -> list[str]:
        ways = await asyncio.gather(*(part(ctx, number) for number in range(PARALLEL)))
        await ctx.step("wait", wait)
        return ways

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: "wait" in bodies, PATIENCE)
    stage.crash(engine)
    gate.set()

    assert stage.launch(work).retrieve_workflow(handle.id).get_result(PATIENCE) == ["new"] * PARALLEL
    assert sorted(bodies) == sorted(
        [f"{kind} {number}" for kind in ("first", "new") for number in range(PARALLEL)] + ["wait"] * 2
    )


@pytest.mark.covers(168)
def test_tasks_that_have_passed_keep_their_way_and_the_others_take_the_new_one(stage: Stage) -> None:
    bodies, gate, passed = Bodies(), threading.Event(), threading.Event()

    async def hold() -> None:
        bodies.append("held")
        await asyncio.to_thread(gate.wait, PATIENCE)

    async def come_last() -> None:
        await asyncio.to_thread(passed.wait, PATIENCE)
        bodies.append("first 2")

    def pass_by(number: int) -> None:
        bodies.append(f"old {number}")
        if {"old 0", "old 1"} <= set(bodies):
            passed.set()

    async def part(ctx: DurableContext, number: int, *, is_patched: bool) -> str:
        # The last one comes to its second step when the others have taken theirs, so that it is behind them.
        await ctx.step(f"first {number}", come_last if number == 2 else bodies.body(f"first {number}"))
        is_new = is_patched and await ctx.patch("way")
        if is_new:
            await ctx.step(f"new {number}", bodies.body(f"new {number}"))
        elif number == 2 and not is_patched:
            await ctx.step("old 2", hold)
        else:
            await ctx.step(f"old {number}", pass_by, number)
        return "new" if is_new else "old"

    async def old(ctx: DurableContext) -> list[str]:
        return await asyncio.gather(*(part(ctx, number, is_patched=False) for number in range(3)))

    async def new(ctx: DurableContext) -> list[str]:
        return await asyncio.gather(*(part(ctx, number, is_patched=True) for number in range(3)))

    engine = launch(stage, "v1", old)
    handle = engine.run_workflow("work")
    eventually(lambda: "held" in bodies and {4, 5} <= stage.history(handle).keys(), PATIENCE)
    # Let go behind the cut: the body ends, which is not recorded, and no thread of it holds up the end of the loop.
    stage.line_of(engine).cut()
    gate.set()
    stage.crash(engine)
    newer = launch(stage, "v2", new)

    [adopted] = newer.adopt_stranded()

    assert adopted.get_result(PATIENCE) == ["old", "old", "new"]
    assert sorted(bodies) == ["first 0", "first 1", "first 2", "held", "new 2", "old 0", "old 1"]


@pytest.mark.covers(168)
def test_a_task_whose_place_was_overtaken_keeps_the_old_way(stage: Stage) -> None:
    bodies, gate = Bodies(), threading.Event()

    async def hold() -> str:
        bodies.append("held")
        await asyncio.to_thread(gate.wait, PATIENCE)
        return "held"

    async def slow(ctx: DurableContext, *, is_patched: bool) -> str:
        is_new = is_patched and await ctx.patch("way")
        return await ctx.step("new" if is_new else "old", hold)

    async def quick(ctx: DurableContext) -> None:
        await ctx.step("quick", bodies.body("quick"))

    async def old(ctx: DurableContext) -> Any:
        return (await asyncio.gather(slow(ctx, is_patched=False), quick(ctx)))[0]

    async def new(ctx: DurableContext) -> Any:
        return (await asyncio.gather(slow(ctx, is_patched=True), quick(ctx)))[0]

    engine = launch(stage, "v1", old)
    handle = engine.run_workflow("work")
    eventually(lambda: "held" in bodies and stage.history(handle).keys() == {2}, PATIENCE)
    # Let go behind the cut: the body ends, which is not recorded, and no thread of it holds up the end of the loop.
    stage.line_of(engine).cut()
    gate.set()
    stage.crash(engine)
    newer = launch(stage, "v2", new)

    [adopted] = newer.adopt_stranded()

    assert adopted.get_result(PATIENCE) == "held"
    assert stage.names(handle) == {1: "old", 2: "quick"}
    assert bodies.count("quick") == 1


@pytest.mark.covers(168)
def test_a_patch_beside_a_sleep_that_is_cut_short_replays_alike(stage: Stage) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> None:
        bodies.append("wait")
        if bodies.count("wait") == 1:
            assert gate.wait(PATIENCE)

    async def work(ctx: DurableContext) -> list[bool]:
        answers = [await ctx.patch("before")]
        try:
            async with asyncio.timeout(0.05):
                await ctx.sleep(LONG_SECONDS)
        except TimeoutError:
            answers.append(await ctx.patch("behind"))
        await ctx.step("wait", wait)
        return answers

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: "wait" in bodies, PATIENCE)
    stage.crash(engine)
    gate.set()

    assert stage.launch(work).retrieve_workflow(handle.id).get_result(PATIENCE) == [True, True]
    assert stage.names(handle) == {
        1: "DBOS.patch-before",
        2: "DBOS.sleep",
        3: "durust.sleep.cut",
        4: "DBOS.patch-behind",
        5: "wait",
    }
