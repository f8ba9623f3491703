"""Several operations of an async workflow at once come back in one order, in every execution."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from durust import DurableContext, Status, StepOptions, clock
from tests.engine.stage import PATIENCE, Stage, wait_until_no_threads
from tests.support.waiting import eventually

# A sleep of this length parks, so that the body runs again from its history.
PARKS = 0.4


class Trace:
    """What the bodies of steps did, and what each execution of the workflow's body saw."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.executions: list[list[Any]] = []

    def step(self, name: str, seconds: float = 0.0) -> Callable[[], Awaitable[str]]:
        """Return a step body that takes a while."""

        async def body() -> str:
            self.steps[name] += 1
            await asyncio.sleep(seconds)
            return name

        return body

    def begin(self) -> list[Any]:
        """Begin an execution; return the list of what it sees."""
        self.executions.append([])
        return self.executions[-1]

    def assert_alike(self, least: int = 2) -> None:
        """Claim that each execution saw what the last one saw, as far as it came."""
        assert len(self.executions) >= least
        longest = self.executions[-1]
        assert all(seen == longest[: len(seen)] for seen in self.executions), self.executions


@pytest.fixture
def trace() -> Trace:
    """Return a trace for the one workflow of the test."""
    return Trace()


def run(stage: Stage, body: Callable[..., Any]) -> Any:
    """Run a workflow to its end."""
    return stage.launch(body).run_workflow(body.__name__).get_result(PATIENCE)


@pytest.mark.covers(40, 41)
def test_a_hundred_gathered_steps_are_numbered_in_the_order_of_their_calls(stage: Stage, trace: Trace) -> None:
    async def many(ctx: DurableContext) -> Any:
        seen = trace.begin()
        # The later ones end first.
        steps = [ctx.step(f"s{number}", trace.step(f"s{number}", (100 - number) / 2000)) for number in range(100)]
        seen.append(await asyncio.gather(*steps))
        await ctx.sleep(PARKS)
        return seen[0]

    engine = stage.launch(many)
    handle = engine.run_workflow("many")

    assert handle.get_result(PATIENCE) == [f"s{number}" for number in range(100)]
    assert list(stage.names(handle).values())[:100] == [f"s{number}" for number in range(100)]
    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


def test_a_hundred_sync_steps_and_then_a_short_sleep_are_replayed_without_a_wait(stage: Stage) -> None:
    executions: list[int] = []

    async def many(ctx: DurableContext) -> None:
        executions.append(1)
        await asyncio.gather(*(ctx.step(f"s{number}", lambda: None) for number in range(100)))
        await ctx.sleep(0.001)
        await ctx.step("last", lambda: None)
        await ctx.sleep(PARKS)

    run(stage, many)

    assert len(executions) == 2


@pytest.mark.covers(42, 48)
def test_the_first_completed_is_the_same_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def race(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        left = {
            asyncio.create_task(ctx.step("slow", trace.step("slow", 0.1))),
            asyncio.create_task(ctx.step("quick", trace.step("quick", 0.01))),
            asyncio.create_task(ctx.step("middle", trace.step("middle", 0.05))),
        }
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            seen.extend(sorted(task.result() for task in done))
            await ctx.step(f"after {seen[-1]}", trace.step(f"after {seen[-1]}"))
        await ctx.sleep(PARKS)
        return seen

    assert run(stage, race) == ["quick", "middle", "slow"]
    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


@pytest.mark.covers(48)
def test_as_completed_is_the_same_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def race(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        steps = [ctx.step(f"s{number}", trace.step(f"s{number}", (7 - number) * 0.01)) for number in range(8)]
        for number, first in enumerate(asyncio.as_completed(steps)):
            seen.append(await first)
            await ctx.step(f"after {number}", trace.step(f"after {number}"))
        await ctx.sleep(PARKS)
        return seen

    assert sorted(run(stage, race)) == [f"s{number}" for number in range(8)]
    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


def test_a_sleep_and_a_step_race_alike_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def race(ctx: DurableContext) -> list[str]:
        seen = trace.begin()

        async def sleeper(name: str, seconds: float) -> str:
            await ctx.sleep(seconds)
            await ctx.step(f"after {name}", trace.step(f"after {name}"))
            return name

        # Tasks, because `as_completed` starts bare coroutines in the order of a set.
        bodies = [sleeper("one", 0.02), sleeper("two", 0.06), ctx.step("step", trace.step("step", 0.04))]
        tasks = [asyncio.create_task(body) for body in bodies]
        for first in asyncio.as_completed(tasks):
            seen.append(await first)
        await ctx.sleep(PARKS)
        return seen

    # Which comes first is the machine's business; that it stays so is ours.
    assert sorted(run(stage, race)) == ["one", "step", "two"]
    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


def test_tasks_that_go_on_at_their_own_pace_are_numbered_alike_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def paced(ctx: DurableContext) -> Any:
        seen = trace.begin()

        async def line(name: str, pace: float) -> list[str]:
            return [await ctx.step(f"{name}{n}", trace.step(f"{name}{n}", pace)) for n in range(6)]

        seen.append(await asyncio.gather(line("a", 0.003), line("b", 0.005), line("c", 0.002)))
        await ctx.sleep(PARKS)
        return seen[0]

    engine = stage.launch(paced)
    handle = engine.run_workflow("paced")
    handle.get_result(PATIENCE)

    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


def test_deeply_nested_gathers_are_numbered_alike_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def nested(ctx: DurableContext) -> Any:
        seen = trace.begin()

        async def level(name: str, depth: int) -> Any:
            if depth == 0:
                return await ctx.step(name, trace.step(name, 0.002))
            found = await asyncio.gather(level(f"{name}l", depth - 1), level(f"{name}r", depth - 1))
            return [found, await ctx.step(f"{name}.", trace.step(f"{name}."))]

        seen.append(await asyncio.gather(level("x", 3), level("y", 2)))
        await ctx.sleep(PARKS)
        return seen[0]

    run(stage, nested)

    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


def test_a_task_group_that_fails_is_replayed_alike(stage: Stage, trace: Trace) -> None:
    async def grouped(ctx: DurableContext) -> list[Any]:
        seen = trace.begin()

        async def fail() -> None:
            trace.steps["fail"] += 1
            await asyncio.sleep(0.02)
            raise ValueError("one of three")

        async def line() -> None:
            for number in range(50):
                await ctx.step(f"line{number}", trace.step(f"line{number}", 0.004))

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.step("fail", fail))
                group.create_task(line())
                group.create_task(ctx.step("slow", trace.step("slow", PATIENCE)))
        except* ValueError as errors:
            seen.extend(str(error) for error in errors.exceptions)
        seen.append(await ctx.step("rest", trace.step("rest")))
        await ctx.sleep(PARKS)
        return seen

    assert run(stage, grouped) == ["one of three", "rest"]
    # What was cut short before it was recorded may run again, and nothing else.
    assert trace.steps["fail"] == trace.steps["rest"] == trace.steps["line0"] == 1
    trace.assert_alike()


@pytest.mark.covers(42)
def test_a_step_that_was_cut_short_by_a_timeout_is_cut_short_in_a_replay(stage: Stage, trace: Trace) -> None:
    paces = iter([PATIENCE, 0.0])

    async def hurry(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        try:
            # The replay runs it again, as its record never came, and this time it would be in time.
            seen.append(await asyncio.wait_for(ctx.step("slow", trace.step("slow", next(paces))), 0.05))
        except TimeoutError:
            seen.append(await ctx.step("late", trace.step("late")))
        await ctx.sleep(PARKS)
        return seen

    assert run(stage, hurry) == ["late"]
    assert trace.steps["late"] == 1
    trace.assert_alike()


def test_a_sleep_that_was_cut_short_by_a_timeout_is_cut_short_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def hurry(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        try:
            async with asyncio.timeout(0.05):
                await ctx.sleep(0.15)
            seen.append("slept")
        except TimeoutError:
            # Recorded after the sleep would have ended.
            seen.append(await ctx.step("late", trace.step("late", 0.3)))
        await ctx.sleep(PARKS)
        return seen

    assert run(stage, hurry) == ["late"]
    assert trace.steps["late"] == 1
    trace.assert_alike()


def test_a_step_that_was_cut_short_is_recorded_so_and_does_not_run_again(stage: Stage, trace: Trace) -> None:
    async def hurry(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        for name in ("first", "second"):
            try:
                async with asyncio.timeout(0.03):
                    seen.append(await ctx.step(name, trace.step(name, PATIENCE)))
            except TimeoutError:
                seen.append(f"{name} was late")
        await ctx.sleep(PARKS)
        await ctx.sleep(PARKS)
        return seen

    engine = stage.launch(hurry)
    handle = engine.run_workflow("hurry")

    assert handle.get_result(PATIENCE) == ["first was late", "second was late"]
    assert trace.steps == {"first": 1, "second": 1}
    assert "cut short" in (stage.history(handle)[1].error or "")
    trace.assert_alike(3)


def test_a_retry_that_was_cut_short_is_not_tried_again(stage: Stage, trace: Trace) -> None:
    async def fail() -> None:
        trace.steps["fail"] += 1
        raise ValueError

    async def hurry(ctx: DurableContext) -> str:
        options = StepOptions(max_retries=5, base_interval=PATIENCE)
        try:
            await asyncio.wait_for(ctx.step_with(options, "fail", fail), 0.05)
        except TimeoutError:
            await ctx.sleep(PARKS)
        return "late"

    assert run(stage, hurry) == "late"
    assert trace.steps["fail"] == 1


def test_a_cancellation_that_comes_while_the_record_is_on_its_way_is_late(stage: Stage, trace: Trace) -> None:
    line = stage.make_line()

    async def first() -> str:
        # The body of the step is over when the time is, and its record cannot be committed yet.
        line.cut()
        asyncio.get_running_loop().call_later(0.2, line.mend)
        return "one"

    async def hurry(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        try:
            async with asyncio.timeout(0.05):
                seen.append(await ctx.step("one", first))
                seen.append(await ctx.step("two", trace.step("two", PATIENCE)))
        except TimeoutError:
            seen.append("late")
        await ctx.sleep(PARKS)
        return seen

    engine = stage.make_engine(line)
    engine.register("hurry", hurry)
    engine.launch()

    assert engine.run_workflow("hurry").get_result(PATIENCE) == ["one", "late"]
    assert trace.steps["two"] == 1
    trace.assert_alike()


def test_a_task_that_was_left_behind_does_nothing_after_the_body(stage: Stage, trace: Trace) -> None:
    left: list[Any] = []

    async def leave(ctx: DurableContext) -> str:
        async def straggle() -> None:
            await ctx.step("straggler", trace.step("straggler", PATIENCE))

        left.append(asyncio.create_task(straggle()))
        await asyncio.sleep(0)
        return await ctx.step("own", trace.step("own"))

    engine = stage.launch(leave)
    handle = engine.run_workflow("leave")

    assert handle.get_result(PATIENCE) == "own"
    eventually(left[0].cancelled)
    assert stage.names(handle) == {2: "own"}


@pytest.mark.covers(42)
def test_a_timeout_around_a_sleep_that_parks_is_kept(stage: Stage, trace: Trace) -> None:
    async def patient(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        try:
            async with asyncio.timeout(PARKS):
                await ctx.sleep(PATIENCE)
        except TimeoutError:
            seen.append(await ctx.step("late", trace.step("late")))
        await ctx.sleep(PARKS)
        return seen

    assert run(stage, patient) == ["late"]
    assert trace.steps["late"] == 1
    trace.assert_alike(3)


def test_the_time_that_a_body_sees_is_the_same_in_a_replay(stage: Stage, trace: Trace) -> None:
    async def idle(ctx: DurableContext) -> bool:
        seen = trace.begin()
        loop = asyncio.get_running_loop()
        seen.append(loop.time())
        await asyncio.sleep(0.05)
        seen.append(loop.time())
        await ctx.step("one", trace.step("one", 0.01))
        seen.append(loop.time())
        await ctx.sleep(PARKS)
        return bool(loop.time() - seen[-1] >= PARKS)

    assert run(stage, idle) is True
    trace.assert_alike()


def test_a_timer_beside_a_step_begins_anew_with_the_step(stage: Stage, trace: Trace) -> None:
    seconds = 0.5
    gate = asyncio.Event()

    async def hurry(ctx: DurableContext) -> str:
        trace.begin()
        async with asyncio.timeout(seconds):
            return await ctx.step("slow", gate.wait) and "in time"

    engine = stage.launch(hurry)
    handle = engine.run_workflow("hurry")
    eventually(lambda: trace.executions)
    stage.crash(engine)
    began = clock.monotonic()
    # The outage lasts for longer than the body would wait.
    eventually(lambda: clock.monotonic() > began + seconds)
    gate.set()
    again = stage.launch(hurry)

    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "in time"


def test_the_timers_of_a_caller_who_lends_the_loop_are_left_alone(stage: Stage, trace: Trace) -> None:
    async def patient(ctx: DurableContext) -> str:
        trace.begin()
        try:
            async with asyncio.timeout(PARKS):
                await ctx.sleep(PATIENCE)
        except TimeoutError:
            return "late"
        return "in time"

    async def lend() -> tuple[str, bool]:
        loop = asyncio.get_running_loop()
        engine = stage.make_engine()
        engine.register("patient", patient)
        async with engine.aio as lent:
            before = loop.time()
            result = await lent.start("patient")
            await asyncio.sleep(0.01)
            return result, 0 < loop.time() - before < PATIENCE

    assert asyncio.run(lend()) == ("late", True)
    trace.assert_alike()


@pytest.mark.covers(42)
@pytest.mark.parametrize("timeout", [None, 0.5])
@pytest.mark.parametrize("until", [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED])
def test_a_wait_parts_what_is_done_from_what_is_not_alike_in_a_replay(
    stage: Stage, trace: Trace, until: str, timeout: float | None
) -> None:
    waits_for_all = until == asyncio.ALL_COMPLETED and timeout is None
    go_on = asyncio.Event()

    async def fail() -> None:
        trace.steps["fail"] += 1
        await asyncio.sleep(0.03)
        raise ValueError

    async def slow() -> None:
        trace.steps["slow"] += 1
        await go_on.wait()

    async def part(ctx: DurableContext) -> list[str]:
        seen = trace.begin()
        tasks = {
            "quick": asyncio.create_task(ctx.step("quick", trace.step("quick"))),
            "fail": asyncio.create_task(ctx.step("fail", fail)),
            "slow": asyncio.create_task(ctx.step("slow", slow)),
        }
        if waits_for_all:
            go_on.set()
        done, _ = await asyncio.wait(tasks.values(), timeout=timeout, return_when=until)
        go_on.set()
        seen.append([name for name, task in tasks.items() if task in done])
        seen.append([type(each) for each in await asyncio.gather(*tasks.values(), return_exceptions=True)])
        await ctx.sleep(PARKS)
        return [*seen[0]]

    done = run(stage, part)

    assert done
    assert ("slow" in done) == waits_for_all
    assert "fail" in done or until == asyncio.FIRST_COMPLETED
    assert set(trace.steps.values()) == {1}
    trace.assert_alike()


@pytest.mark.covers(41)
def test_five_hundred_steps_at_once_are_each_recorded_once(stage: Stage, trace: Trace) -> None:
    async def many(ctx: DurableContext) -> int:
        return len(await asyncio.gather(*(ctx.step(f"s{number}", trace.step(f"s{number}")) for number in range(500))))

    handle = stage.launch(many).run_workflow("many")

    assert handle.get_result(PATIENCE) == 500
    assert stage.names(handle) == {number + 1: f"s{number}" for number in range(500)}
    assert set(trace.steps.values()) == {1}


async def leave_by_a_task(_: DurableContext) -> None:
    """End the program in a task of the body's own, which asyncio lets through to whoever runs the loop."""

    async def leave() -> None:
        sys.exit(3)

    await asyncio.gather(leave())


async def leave_by_a_callback(_: DurableContext) -> None:
    """End the program in a callback."""
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0)


async def stop_the_loop(_: DurableContext) -> None:
    """Stop the loop that everybody's bodies run on."""
    asyncio.get_running_loop().stop()


@pytest.mark.parametrize("leave", [leave_by_a_task, leave_by_a_callback, stop_the_loop])
def test_a_body_that_ends_its_loop_ends_nobody_else(leave: Callable[..., Any]) -> None:
    async def work(ctx: DurableContext) -> Any:
        return await ctx.step("work", lambda: "done")

    stage = Stage("memory://")
    engine = stage.launch(leave, work)

    ended = engine.run_workflow(leave.__name__)
    eventually(lambda: stage.row(ended).status in {Status.SUCCESS, Status.ERROR})

    assert engine.run_workflow("work").get_result(PATIENCE) == "done"
    stage.close()
    wait_until_no_threads()
