"""A step is recorded under its place and name, tried again as its options say, and never run again once recorded."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import durust
from durust import (
    DurableContext,
    InvalidArgument,
    SerializationError,
    Status,
    StepDiverged,
    StepOptions,
    StepRetriesExhausted,
    SyncDurableContext,
)
from durust.routines.effects import Pause
from durust.routines.replay import SLEEP_NAME
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

# No test waits for a retry.
AT_ONCE: dict[str, Any] = {"base_interval": 0.001, "max_interval": 0.001}


class Busy(Exception):
    pass


def fail_until(times: int, calls: list[int]) -> Any:
    """Return a step body that fails so many times."""

    def body() -> str:
        calls.append(len(calls) + 1)
        if len(calls) <= times:
            raise Busy(len(calls))
        return "done"

    return body


@pytest.mark.covers(25)
def test_a_step_that_fails_is_tried_again(stage: Stage, paint: Paint) -> None:
    calls: list[int] = []

    @paint
    def charge(ctx: Any) -> Any:
        return (yield ctx.step_with(StepOptions(max_retries=3, **AT_ONCE), "charge", fail_until(2, calls)))

    assert stage.launch(charge).start("charge") == "done"
    assert calls == [1, 2, 3]


@pytest.mark.covers(25)
def test_a_step_that_fails_in_every_attempt_carries_each_error(stage: Stage, paint: Paint) -> None:
    calls: list[int] = []

    @paint
    def charge(ctx: Any) -> Any:
        yield ctx.step_with(StepOptions(max_retries=2, **AT_ONCE), "charge", fail_until(9, calls))

    engine = stage.launch(charge)
    handle = engine.run_workflow("charge")

    with pytest.raises(StepRetriesExhausted) as raised:
        handle.get_result(PATIENCE)
    assert calls == [1, 2, 3]
    assert raised.value.attempts == 3
    assert [type(error) for error in raised.value.errors] == [Busy, Busy, Busy]
    assert [error.args for error in raised.value.errors] == [(1,), (2,), (3,)]


def test_an_error_without_retries_is_itself(stage: Stage, paint: Paint) -> None:
    @paint
    def charge(ctx: Any) -> Any:
        yield ctx.step("charge", fail_until(9, []))

    with pytest.raises(Busy):
        stage.launch(charge).start("charge")


@pytest.mark.covers(27)
def test_a_predicate_stops_the_retries_at_once(stage: Stage, paint: Paint) -> None:
    calls: list[int] = []
    asked: list[Exception] = []

    def should_retry(error: Exception) -> bool:
        asked.append(error)
        return len(asked) < 2

    @paint
    def charge(ctx: Any) -> Any:
        options = StepOptions(max_retries=9, should_retry=should_retry, **AT_ONCE)
        yield ctx.step_with(options, "charge", fail_until(9, calls))

    with pytest.raises(Busy):
        stage.launch(charge).start("charge")
    assert calls == [1, 2]


def test_a_broken_predicate_is_the_steps_error(stage: Stage, paint: Paint) -> None:
    def should_retry(_: Exception) -> bool:
        raise KeyError("broken")

    @paint
    def charge(ctx: Any) -> Any:
        options = StepOptions(max_retries=9, should_retry=should_retry, **AT_ONCE)
        yield ctx.step_with(options, "charge", fail_until(9, []))

    with pytest.raises(KeyError):
        stage.launch(charge).start("charge")


@pytest.mark.covers(24)
def test_a_caught_error_of_a_step_is_raised_again_by_the_replay(stage: Stage, paint: Paint) -> None:
    calls: list[int] = []
    caught: list[tuple[Any, ...]] = []

    @paint
    def charge(ctx: Any) -> Any:
        try:
            yield ctx.step("charge", fail_until(9, calls))
        except Busy as error:
            caught.append(error.args)
        # Parks, so that the body runs again from its history.
        yield ctx.sleep(0.4)
        return (yield ctx.step("report", lambda: "failed"))

    assert stage.launch(charge).start("charge") == "failed"
    assert calls == [1]
    assert caught == [(1,), (1,)]


def test_a_recorded_result_is_what_the_first_run_saw_too(stage: Stage, paint: Paint) -> None:
    seen: list[Any] = []

    @paint
    def look(ctx: Any) -> Any:
        seen.append((yield ctx.step("look", lambda: (1, 2), type=tuple[int, int])))
        yield ctx.sleep(0.4)

    stage.launch(look).start("look")

    assert seen == [(1, 2), (1, 2)]


def test_a_result_that_cannot_be_written_is_the_steps_error(stage: Stage, paint: Paint) -> None:
    @paint
    def lock(ctx: Any) -> Any:
        try:
            yield ctx.step("lock", threading.Lock)
        except SerializationError:
            return "refused"

    assert stage.launch(lock).start("lock") == "refused"


def test_an_error_that_cannot_be_rebuilt_is_the_same_in_a_replay(stage: Stage, paint: Paint) -> None:
    seen: list[str] = []

    def fail() -> None:
        class Local(Exception):
            pass

        raise Local("of no module")

    @paint
    def work(ctx: Any) -> Any:
        try:
            yield ctx.step("fail", fail)
        except Exception as error:  # noqa: BLE001  whatever comes back is what is compared
            seen.append(f"{type(error).__name__}: {error}")
        yield ctx.sleep(0.4)

    stage.launch(work).start("work")

    assert len(seen) == 2
    assert seen[0] == seen[1]


class Unanswered(Exception):
    """Holds what no record can hold."""

    def __init__(self, answer: object) -> None:
        super().__init__("no answer")
        self.answer = answer


def fail_with_a_lock() -> None:
    raise Unanswered(threading.Lock())


def fail_with_a_group() -> None:
    raise ExceptionGroup("several", [Busy(1), Unbuildable(threading.Lock())])


class Unbuildable(Exception):
    pass


@pytest.mark.parametrize("fail", [fail_with_a_lock, fail_with_a_group])
def test_what_an_error_loses_is_lost_in_the_first_execution_too(
    stage: Stage, paint: Paint, fail: Callable[[], None]
) -> None:
    seen: list[tuple[Any, ...]] = []

    @paint
    def work(ctx: Any) -> Any:
        try:
            yield ctx.step("fail", fail)
        except Exception as error:  # noqa: BLE001  whatever comes back is what is compared
            inner = [type(each) for each in getattr(error, "exceptions", ())]
            seen.append((type(error), str(error), sorted(vars(error)), inner))
        yield ctx.sleep(0.4)

    stage.launch(work).start("work")

    assert len(seen) == 2
    assert seen[0] == seen[1]


@pytest.mark.parametrize("error", [StopIteration(3), StopAsyncIteration(), GeneratorExit()])
def test_an_error_that_generators_fear_is_like_any_other(stage: Stage, error: BaseException) -> None:
    def fail() -> None:
        raise error

    def work(ctx: SyncDurableContext) -> str:
        try:
            ctx.step("fail", fail)
        except type(error):
            return "caught"
        return "lost"

    assert stage.launch(work).start("work") == "caught"


@pytest.mark.covers(32)
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupt_is_not_the_outcome_of_a_step(stage: Stage, paint: Paint, interrupt: type[BaseException]) -> None:
    def interrupted() -> None:
        raise interrupt

    @paint
    def work(ctx: Any) -> Any:
        try:
            yield ctx.step_with(StepOptions(max_retries=5, **AT_ONCE), "body", interrupted)
        except interrupt:
            return "interrupted"

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    assert handle.get_result(PATIENCE) == "interrupted"
    assert stage.history(handle) == {}


def test_steps_of_either_colour_run_in_workflows_of_either_colour(stage: Stage, paint: Paint) -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        return "async"

    @paint
    def mixed(ctx: Any) -> Any:
        return [
            (yield ctx.step("sync", lambda: "sync")),
            (yield ctx.step("async", wait)),
            (yield ctx.step("lambda", lambda: wait())),  # noqa: PLW0108  what a caller writes who has arguments
            (yield ctx.step("partial", functools.partial(wait))),
        ]

    assert stage.launch(mixed).start("mixed") == ["sync", "async", "async", "async"]


def test_a_sync_step_of_an_async_workflow_leaves_the_loop_alone(stage: Stage) -> None:
    gate, threads = threading.Event(), set()

    def block() -> None:
        threads.add(threading.get_ident())
        gate.wait(PATIENCE)

    def release() -> None:
        gate.set()

    async def work(ctx: DurableContext) -> None:
        threads.add(threading.get_ident())
        await asyncio.gather(ctx.step("block", block), ctx.step("release", release))

    stage.launch(work).start("work")

    assert len(threads) == 2


@durust.step(max_retries=2, **AT_ONCE)
def flaky(calls: int) -> str:
    FLAKY.append(calls)
    if len(FLAKY) < calls:
        raise Busy
    return "done"


@durust.step(name="inner")
def inner(number: int) -> int:
    return number + 1


@durust.step
def outer(number: int) -> int:
    return inner(number) * 10


@durust.step
async def async_inner(number: int) -> int:
    return number + 1


@durust.step
async def async_outer(number: int) -> int:
    return await async_inner(number) * 10


class Counter:
    def __init__(self) -> None:
        self.count = 0

    @durust.step(max_retries=1, **AT_ONCE)
    def add(self, number: int) -> int:
        self.count += 1
        if self.count == 1:
            raise Busy
        return number + 1


FLAKY: list[int] = []


def test_a_decorated_step_is_recorded_under_its_own_name_with_its_options(stage: Stage) -> None:
    FLAKY.clear()

    def work(_: SyncDurableContext) -> str:
        return flaky(3)

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    assert handle.get_result(PATIENCE) == "done"
    assert stage.names(handle) == {1: "flaky"}


@pytest.mark.covers(38)
def test_a_decorated_step_given_to_the_context_is_recorded_once_with_its_options(stage: Stage, paint: Paint) -> None:
    FLAKY.clear()

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("shaky", flaky, 3))

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    assert handle.get_result(PATIENCE) == "done"
    assert stage.names(handle) == {1: "shaky"}


@pytest.mark.covers(13)
def test_a_step_inside_a_step_is_an_ordinary_call(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return [
            (yield ctx.step("sync", outer, 1)),
            (yield ctx.step("async", async_outer, 1)),
            (yield ctx.step("lambda", lambda: async_outer(1))),
        ]

    engine = stage.launch(work)
    handle = engine.run_workflow("work")

    assert handle.get_result(PATIENCE) == [20, 20, 20]
    assert stage.names(handle) == {1: "sync", 2: "async", 3: "lambda"}


def test_decorated_steps_are_called_directly(stage: Stage) -> None:
    def plain(_: SyncDurableContext) -> list[Any]:
        return [outer(1), async_outer(1)]

    async def awaited(_: DurableContext) -> int:
        return await async_outer(1)

    engine = stage.launch(plain, awaited)
    handle = engine.run_workflow("plain")

    assert handle.get_result(PATIENCE) == [20, 20]
    assert stage.names(handle) == {1: "outer", 2: "async_outer"}
    assert engine.start("awaited") == 20


@durust.step
def fetch(name: str, type: str = "json") -> str:
    return f"{name}.{type}"


@durust.step
async def fetch_later(name: str, type: str = "json") -> str:
    return f"{name}.{type}"


def test_a_direct_call_leaves_every_argument_to_the_step(stage: Stage) -> None:
    def plain(_: SyncDurableContext) -> list[Any]:
        return [fetch("page", type="xml"), fetch_later("page", type="xml")]

    async def awaited(_: DurableContext) -> str:
        return await fetch_later("page", type="xml")

    engine = stage.launch(plain, awaited)

    assert engine.start("plain") == ["page.xml", "page.xml"]
    assert engine.start("awaited") == "page.xml"


@pytest.mark.covers(11)
def test_a_decorated_step_outside_a_workflow_is_an_ordinary_function() -> None:
    assert outer(1) == 20
    assert asyncio.run(async_outer(1)) == 20


@pytest.mark.covers(38)
def test_a_decorated_method_is_a_step_with_its_options(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("add", Counter().add, 1))

    def direct(_: SyncDurableContext) -> Any:
        return Counter().add(1)

    engine = stage.launch(work, direct)

    assert engine.start("work") == 2
    assert engine.start("direct") == 2


def test_calling_a_plain_step_directly_in_an_async_workflow_says_what_to_write(stage: Stage) -> None:
    async def work(_: DurableContext) -> int:
        return outer(1)

    with pytest.raises(TypeError, match=r"await ctx\.step\('outer', outer, \.\.\.\)"):
        stage.launch(work).start("work")


def test_a_step_needs_a_function_and_a_name(stage: Stage, paint: Paint) -> None:
    @paint
    def result(ctx: Any) -> Any:
        yield ctx.step("one", 1)

    @paint
    def nameless(ctx: Any) -> Any:
        yield ctx.step("", lambda: 1)

    engine = stage.make_engine()
    engine.register("result", result)
    engine.register("nameless", nameless)
    engine.launch()

    with pytest.raises(InvalidArgument, match="a step is a function"):
        engine.start("result")
    with pytest.raises(InvalidArgument, match="step name"):
        engine.start("nameless")


def test_options_of_a_step_are_step_options(stage: Stage, paint: Paint) -> None:
    options: Any = {"max_retries": 3}

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step_with(options, "one", lambda: 1)

    with pytest.raises(InvalidArgument, match=r"must be a StepOptions, as in StepOptions\(max_retries=5\)"):
        stage.launch(work).start("work")


@pytest.mark.covers(25, 26)
def test_a_pause_is_no_effect_of_the_last_attempt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    made = Pause.__init__

    def note(self: Pause, seconds: float) -> None:
        pauses.append(seconds)
        made(self, seconds)

    monkeypatch.setattr(Pause, "__init__", note)
    options = StepOptions(max_retries=3, base_interval=0.001, backoff_factor=2, max_interval=0.003)

    def charge(ctx: SyncDurableContext) -> None:
        ctx.step_with(options, "charge", fail_until(9, []))

    with pytest.raises(StepRetriesExhausted):
        stage.launch(charge).start("charge")
    assert pauses == [0.001, 0.002, 0.003]


@pytest.mark.covers(28)
def test_a_crash_amid_the_retries_lets_them_begin_anew(stage: Stage, paint: Paint) -> None:
    calls: list[int] = []
    # The first execution dies in its pause.
    pauses = iter([3600.0, 0.001])

    @paint
    def charge(ctx: Any) -> Any:
        options = StepOptions(max_retries=1, base_interval=next(pauses), max_interval=3600.0)
        yield ctx.step_with(options, "charge", fail_until(9, calls))

    engine = stage.launch(charge)
    handle = engine.run_workflow("charge")
    eventually(lambda: calls == [1])

    stage.crash(engine)

    assert stage.history(handle) == {}
    with pytest.raises(StepRetriesExhausted) as raised:
        stage.launch(charge).retrieve_workflow(handle.id).get_result(PATIENCE)
    assert raised.value.attempts == 2
    assert calls == [1, 2, 3]


@pytest.mark.covers(36, 56)
def test_a_record_whose_answer_was_lost_is_sent_again_and_takes_no_new_place(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    line = stage.make_line()

    def lose(name: str) -> None:
        bodies.append(name)
        line.lost_answers["commit"] += 1

    @paint
    def work(ctx: Any) -> Any:
        for number in range(4):
            yield ctx.step(f"step {number}", lose, f"step {number}")
        return "done"

    engine = stage.make_engine(line, audit_seconds=3600.0, beat_seconds=3600.0, lease_seconds=7200.0)
    engine.register("work", work)
    engine.launch()
    handle = engine.run_workflow("work")

    assert handle.get_result(PATIENCE) == "done"
    assert bodies == [f"step {number}" for number in range(4)]
    assert stage.names(handle) == {number + 1: f"step {number}" for number in range(4)}
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(23, 37)
def test_a_replay_leaves_the_records_as_they_are(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(0.4)
        yield ctx.step("two", bodies.body("two"))

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    before = eventually(lambda: found if len(found := stage.history(handle)) >= 2 else None)
    assert before is not None

    handle.get_result(PATIENCE)

    assert {place: record for place, record in stage.history(handle).items() if place in before} == before
    assert before[1].started_at_ms is not None
    assert before[1].completed_at_ms is not None
    assert before[1].started_at_ms <= before[1].completed_at_ms
    assert bodies == ["one", "two"]


class Station:
    track = 9

    @classmethod
    @durust.step(name="find track")
    def find(cls, offset: int) -> int:
        return cls.track + offset

    @staticmethod
    @durust.step
    def whistle(times: int) -> str:
        return "whistle " * times


@pytest.mark.covers(38)
def test_a_method_of_any_kind_is_a_step(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return [(yield ctx.step("find", Station.find, 1)), (yield ctx.step("whistle", Station.whistle, 2))]

    def direct(_: SyncDurableContext) -> list[Any]:
        return [Station.find(1), Station().find(2), Station.whistle(1)]

    engine = stage.launch(work, direct)
    handle = engine.run_workflow("direct")

    assert engine.start("work") == [10, "whistle whistle "]
    assert handle.get_result(PATIENCE) == [10, 11, "whistle "]
    assert stage.names(handle) == {1: "find track", 2: "find track", 3: "Station.whistle"}


@pytest.mark.covers(33)
def test_a_body_that_asks_for_another_step_is_stopped_by_both_names_and_never_loops(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    routes = iter(["by road", "by air"])

    @paint
    def deliver(ctx: Any) -> Any:
        route = next(routes)
        yield ctx.step("pack", bodies.body("pack"))
        yield ctx.step(route, bodies.body(route))
        yield ctx.sleep(0.4)
        yield ctx.step("unpack", bodies.body("unpack"))

    engine = stage.launch(deliver)
    handle = engine.run_workflow("deliver")

    with pytest.raises(StepDiverged) as raised:
        handle.get_result(PATIENCE)
    error = raised.value
    assert (error.workflow_id, error.place, error.recorded, error.asked) == (handle.id, 2, "by road", "by air")
    assert bodies == ["pack", "by road"]
    row = stage.row(handle)
    assert (row.status, row.attempts) == (Status.ERROR, 1)
    assert list(stage.names(handle).values()) == ["pack", "by road", SLEEP_NAME]


@pytest.mark.covers(33)
def test_a_body_that_asks_for_a_step_where_it_slept_is_stopped_also_where_it_catches_everything(
    stage: Stage, paint: Paint
) -> None:
    bodies = Bodies()
    executions: list[int] = []

    @paint
    def doze(ctx: Any) -> Any:
        executions.append(1)
        if len(executions) == 1:
            yield ctx.sleep(0.4)
        try:
            yield ctx.step("work", bodies.body("work"))
        except Exception:  # noqa: BLE001  what users write
            yield ctx.step("undo", bodies.body("undo"))
        return "done"

    handle = stage.launch(doze).run_workflow("doze")

    with pytest.raises(StepDiverged, match=rf"asked for 'work', history has '{SLEEP_NAME}'"):
        handle.get_result(PATIENCE)
    assert (executions, bodies) == ([1, 1], [])
    assert stage.names(handle) == {1: SLEEP_NAME}
