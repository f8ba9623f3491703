"""An orderly end lets work finish, sets aside what waits, and hands back the rest without counting an attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from durust import DurableEngine, NotLaunched, Status, SyncDurableContext, WorkflowQueue, clock
from durust.engine import engine as engine_parts
from durust.model.writes import INTERNAL_QUEUE
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, own_threads, parts, wait_until_no_threads
from tests.support.waiting import eventually

# A drain that is to end because its work has ended, and not because of its deadline.
LONG_SECONDS = 60.0
# A drain that is to end at its deadline.
SHORT_SECONDS = 0.1
# What a close without its database takes at most: the unwinding, and the rounds of services that are under way.
CUT_CLOSE_SECONDS = 20.0


class Trip:
    """Two steps, of which the first waits to be let go when it runs for the first time; then perhaps a sleep."""

    def __init__(self, paint: Paint) -> None:
        self.bodies = Bodies()
        self.gate = threading.Event()

        @paint
        def trip(ctx: Any, seconds: float | None = None) -> Any:
            yield ctx.step("one", self._first)
            if seconds is not None:
                yield ctx.sleep(seconds)
            yield ctx.step("two", self.bodies.body("two"))
            return "there"

        self.workflow = trip

    def _first(self) -> None:
        self.bodies.append("one")
        if self.bodies.count("one") == 1:
            assert self.gate.wait(PATIENCE)


@pytest.fixture
def trip(paint: Paint) -> Trip:
    """Return a trip in each colour."""
    return Trip(paint)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Return threads for what blocks."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def launch(stage: Stage, trip: Trip, **settings: Any) -> DurableEngine:
    """Return a launched engine that serves the queue `beds`."""
    engine = stage.make_engine(**settings)
    engine.register("trip", trip.workflow)
    engine.register_queue(WorkflowQueue("beds"))
    engine.launch()
    return engine


def close_aside(engine: DurableEngine, seconds: float, aside: ThreadPoolExecutor) -> Future[None]:
    """Begin to close an engine, and return when it has stopped claiming and parks whatever begins to wait."""
    inner = parts(engine)
    closing = aside.submit(engine.close, seconds)
    eventually(lambda: inner.state == "DRAINING" and inner.runner.ground.park_after_ms() == 0)
    return closing


@pytest.mark.covers(202)
def test_a_close_lets_what_runs_finish(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    engine = launch(stage, trip)
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])

    closing = close_aside(engine, LONG_SECONDS, aside)
    assert not closing.done()
    trip.gate.set()
    closing.result(PATIENCE)

    assert trip.bodies == ["one", "two"]
    assert (stage.row(handle).status, stage.row(handle).attempts) == (Status.SUCCESS, 1)
    assert own_threads() == []


def test_a_drain_tells_whether_everything_has_ended(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    engine, other = launch(stage, trip), stage.launch()
    engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])

    assert other.drain(LONG_SECONDS) is True
    assert engine.drain(SHORT_SECONDS) is False
    trip.gate.set()


@pytest.mark.covers(202)
@pytest.mark.parametrize("queue", [None, "beds"])
def test_what_still_runs_at_the_deadline_is_handed_back_and_not_counted(
    stage: Stage, trip: Trip, queue: str | None
) -> None:
    engine = launch(stage, trip)
    handle = engine.run_workflow("trip") if queue is None else engine.enqueue(queue, "trip")
    eventually(lambda: trip.bodies == ["one"])

    engine.close(SHORT_SECONDS)

    row = stage.row(handle)
    assert (row.status, row.queue, row.attempts) == (Status.ENQUEUED, queue or INTERNAL_QUEUE, 0)
    assert (row.executor_id, row.token) == (None, None)
    trip.gate.set()
    again = launch(stage, trip)
    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "there"
    assert trip.bodies == ["one", "one", "two"]
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(23)
def test_a_step_that_was_recorded_before_the_drain_does_not_run_again(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def second() -> None:
        bodies.append("two")
        if bodies.count("two") == 1:
            assert gate.wait(PATIENCE)

    @paint
    def trip(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.step("two", second)
        return "there"

    engine = stage.launch(trip)
    handle = engine.run_workflow("trip")
    eventually(lambda: bodies == ["one", "two"])

    engine.close(SHORT_SECONDS)
    gate.set()

    assert stage.launch(trip).retrieve_workflow(handle.id).get_result(PATIENCE) == "there"
    assert bodies == ["one", "two", "two"]


def test_a_sleep_that_begins_during_a_drain_parks_at_once(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    # Kept in memory by this engine, if it did not drain.
    engine = launch(stage, trip, park_after_seconds=3600.0)
    handle = engine.run_workflow("trip", 600.0)
    eventually(lambda: trip.bodies == ["one"])

    closing = close_aside(engine, LONG_SECONDS, aside)
    trip.gate.set()
    closing.result(PATIENCE)

    assert (stage.row(handle).status, stage.row(handle).attempts) == (Status.DELAYED, 0)
    assert trip.bodies == ["one"]


def test_what_parked_during_a_drain_wakes_on_another_engine(
    stage: Stage, trip: Trip, aside: ThreadPoolExecutor
) -> None:
    engine = launch(stage, trip, park_after_seconds=3600.0)
    handle = engine.run_workflow("trip", 0.5)
    eventually(lambda: trip.bodies == ["one"])
    closing = close_aside(engine, LONG_SECONDS, aside)
    trip.gate.set()
    closing.result(PATIENCE)

    again = launch(stage, trip)

    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "there"
    assert trip.bodies == ["one", "two"]
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(194, 202)
def test_a_drain_claims_nothing_more(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    engine = launch(stage, trip, slots=1)
    engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])
    waiting = engine.enqueue("beds", "trip")

    closing = close_aside(engine, LONG_SECONDS, aside)
    trip.gate.set()
    closing.result(PATIENCE)

    assert trip.bodies == ["one", "two"]
    assert (stage.row(waiting).status, stage.row(waiting).attempts) == (Status.ENQUEUED, 0)
    assert launch(stage, trip).retrieve_workflow(waiting.id).get_result(PATIENCE) == "there"


@pytest.mark.covers(194)
def test_a_start_during_a_drain_is_queued_for_others(stage: Stage, trip: Trip) -> None:
    engine = launch(stage, trip)
    assert engine.drain(LONG_SECONDS) is True

    handle = engine.run_workflow("trip")

    assert (stage.row(handle).status, stage.row(handle).queue) == (Status.ENQUEUED, INTERNAL_QUEUE)
    trip.gate.set()
    launch(stage, trip)
    assert handle.get_result(PATIENCE) == "there"
    assert trip.bodies == ["one", "two"]


def test_a_start_while_the_engine_closes_is_refused(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    engine = launch(stage, trip)
    engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])
    closing = close_aside(engine, LONG_SECONDS, aside)

    with pytest.raises(NotLaunched, match=r"run_workflow.*engine\.launch\(\)"):
        engine.run_workflow("trip")
    with pytest.raises(NotLaunched, match="enqueue"):
        engine.enqueue("beds", "trip")

    trip.gate.set()
    closing.result(PATIENCE)
    assert len(stage.rows()) == 1


def test_whoever_interrupts_the_program_need_not_wait_for_what_runs(stage: Stage, trip: Trip) -> None:
    engine = stage.make_engine(drain_seconds=LONG_SECONDS)
    engine.register("trip", trip.workflow)

    def interrupt() -> None:
        with engine:
            engine.run_workflow("trip")
            eventually(lambda: trip.bodies == ["one"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()

    [row] = stage.rows()
    assert (row.status, row.attempts, row.executor_id) == (Status.ENQUEUED, 0, None)
    trip.gate.set()


def test_an_interrupt_of_a_start_that_has_begun_gives_its_slot_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: SyncDurableContext) -> int:
        return 42

    stage = Stage("memory://")
    engine = stage.launch(answer)

    def begin_and_interrupt(job: Callable[[], None]) -> None:
        job()
        raise KeyboardInterrupt

    monkeypatch.setattr(parts(engine).runner._pool, "run", begin_and_interrupt)

    with pytest.raises(KeyboardInterrupt):
        engine.run_workflow("answer")

    assert [row.status for row in stage.rows()] == [Status.SUCCESS]
    assert parts(engine).slots._taken == 0
    stage.close()


@pytest.mark.covers(21)
def test_an_engine_is_launched_again_after_its_close(stage: Stage, trip: Trip) -> None:
    trip.gate.set()
    engine = launch(stage, trip)
    first = engine.executor_id
    waiting = engine.start("trip")
    engine.close()
    with pytest.raises(NotLaunched):
        engine.start("trip")

    engine.launch()

    assert waiting == "there"
    assert engine.executor_id != first
    assert engine.start("trip") == "there"
    handle = engine.enqueue("beds", "trip")
    assert handle.get_result(PATIENCE) == "there"


def test_closing_again_does_nothing(stage: Stage, trip: Trip, aside: ThreadPoolExecutor) -> None:
    engine = launch(stage, trip)
    engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])
    closing = close_aside(engine, LONG_SECONDS, aside)

    engine.close()
    assert not closing.done()
    trip.gate.set()
    closing.result(PATIENCE)
    engine.close()

    assert trip.bodies == ["one", "two"]


def test_an_engine_that_was_not_launched_is_closed_too(stage: Stage) -> None:
    stage.make_engine().close()

    assert own_threads() == []


def test_a_database_that_hangs_holds_a_close_up_for_so_long_and_no_longer(
    stage: Stage, trip: Trip, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_parts, "CLOSE_SECONDS", SHORT_SECONDS)
    engine = launch(stage, trip)
    engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])
    line = stage.line_of(engine)
    line.hold()

    engine.close(0)

    assert "does not answer, so the engine is left to end by itself" in caplog.text
    line.let_go()
    trip.gate.set()
    wait_until_no_threads()


@pytest.mark.parametrize("has_ended", [False, True], ids=["in a step", "at a record"])
def test_a_database_that_is_away_does_not_hold_up_a_close(stage: Stage, trip: Trip, *, has_ended: bool) -> None:
    engine = launch(stage, trip)
    executor = engine.executor_id
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one"])
    stage.line_of(engine).cut()
    if has_ended:
        # The step is done, and its record cannot be written.
        trip.gate.set()

    begun = clock.monotonic()
    engine.close(SHORT_SECONDS)
    took = clock.monotonic() - begun

    trip.gate.set()
    assert took < CUT_CLOSE_SECONDS
    assert trip.bodies == ["one"]
    stage.retire(executor)
    again = launch(stage, trip)
    assert again.retrieve_workflow(handle.id).get_result(PATIENCE) == "there"
    assert trip.bodies == ["one", "one", "two"]
