"""A run that lost its row records nothing more, and its engine goes on."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from durust import DurableContext, DurustError, Status, SyncDurableContext, WorkflowCancelled, WorkflowQueue, clock
from durust.model.filters import ClaimRequest, ExecutorQuery, QueueWant, Scope
from durust.model.writes import INTERNAL_QUEUE, FinishWorkflow, ParkWorkflow, RecordStep, Write
from durust.telemetry import counters
from tests.conformance.builders import ANY_STATE, start
from tests.conformance.conftest import Rewrite
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

# An engine that beats this seldom does not hear of its end while a test lasts.
DEAF: dict[str, Any] = {"beat_seconds": 3600.0, "lease_seconds": 7200.0}
NO_ARGUMENTS = '{"positionalArgs":[]}'
# What a close takes at most beside a body that will not end: the waits for its unwinding and for its loop.
STUBBORN_CLOSE_SECONDS = 15.0


class Trip:
    """Three steps, of which the second waits to be let go when it runs for the first time."""

    def __init__(self, paint: Paint) -> None:
        self.bodies = Bodies()
        self.gate = threading.Event()

        @paint
        def trip(ctx: Any) -> Any:
            yield ctx.step("one", self.bodies.body("one"))
            yield ctx.step("two", self._second)
            yield ctx.step("three", self.bodies.body("three"))
            return "there"

        self.workflow = trip

    def _second(self) -> None:
        self.bodies.append("two")
        if self.bodies.count("two") == 1:
            assert self.gate.wait(PATIENCE)


@pytest.fixture
def trip(paint: Paint) -> Trip:
    """Return a trip in each colour."""
    return Trip(paint)


@pytest.mark.covers(66, 69)
@pytest.mark.parametrize("settings", [{}, DEAF], ids=["told", "deaf"])
def test_a_run_that_lost_its_lease_inside_a_step_records_nothing_more(
    stage: Stage, trip: Trip, settings: dict[str, Any]
) -> None:
    engine = stage.launch(trip.workflow, **settings)
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one", "two"])
    other = stage.launch(trip.workflow)

    stage.retire(engine.executor_id)

    assert other.retrieve_workflow(handle.id).get_result(PATIENCE) == "there"
    row, history = stage.row(handle), stage.history(handle)
    trip.gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert trip.bodies == ["one", "two", "two", "three"]
    assert stage.history(handle) == history
    assert stage.row(handle) == row
    assert handle.get_result(PATIENCE) == "there"


def test_a_body_that_swallows_the_loss_of_its_lease_changes_nothing(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    answers: list[str] = []
    gate = threading.Event()

    def wait() -> None:
        bodies.append("wait")
        if len(bodies) == 1:
            assert gate.wait(PATIENCE)

    @paint
    def stubborn(ctx: Any) -> Any:
        answer = "right"
        try:
            yield ctx.step("wait", wait)
        except:  # noqa: E722  what users write
            answer = "wrong"
        try:
            yield ctx.step("after", bodies.body(f"after {answer}"))
        except:  # noqa: E722  what users write
            answers.append(answer)
        return answer

    engine = stage.launch(stubborn, **DEAF)
    handle = engine.run_workflow("stubborn")
    eventually(lambda: bodies == ["wait"])
    stage.retire(engine.executor_id)
    other = stage.launch(stubborn)
    assert other.retrieve_workflow(handle.id).get_result(PATIENCE) == "right"

    gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])

    assert answers == ["wrong"]
    assert bodies == ["wait", "wait", "after right"]
    assert handle.get_result(PATIENCE) == "right"


def states(stage: Stage) -> dict[str, str]:
    """Return the state of each executor there ever was."""
    return {one.executor_id: one.state for one in stage.provider.executors(ExecutorQuery(states=ANY_STATE))}


def test_an_engine_that_was_declared_dead_goes_on_as_a_new_executor(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", lambda: "done"))

    engine = stage.launch(work)
    first = engine.executor_id

    stage.retire(first)

    eventually(lambda: engine.executor_id != first)
    # It has its new id a moment before that is in the database.
    eventually(lambda: len(states(stage)) == 2)
    assert states(stage) == {first: "DEAD", engine.executor_id: "LIVE"}
    assert engine.start("work") == "done"
    # The work that is queued is taken too, and not only what is started here.
    stage.commit(start("queued", name="work", queue=INTERNAL_QUEUE, inputs=NO_ARGUMENTS))
    assert engine.retrieve_workflow("queued").get_result(PATIENCE) == "done"


def test_an_engine_that_was_declared_dead_finishes_its_own_work_as_the_new_one(stage: Stage, trip: Trip) -> None:
    engine = stage.launch(trip.workflow)
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one", "two"])

    stage.retire(engine.executor_id)

    assert handle.get_result(PATIENCE) == "there"
    trip.gate.set()
    assert trip.bodies == ["one", "two", "two", "three"]
    assert stage.row(handle).attempts == 2


def test_a_start_on_an_engine_that_does_not_know_of_its_end_is_queued(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", bodies.body("ran", "done")))

    engine = stage.launch(work, **DEAF)
    stage.retire(engine.executor_id)

    handle = engine.run_workflow("work")

    assert stage.row(handle).status is Status.ENQUEUED
    stage.launch(work)
    assert handle.get_result(PATIENCE) == "done"
    assert bodies == ["ran"]


def test_rows_stranded_under_a_living_executor_are_handed_back(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", bodies.body("ran", "done")))

    engine = stage.launch(work)
    definition = parts(engine).registry.get("work")
    # Not declared before the row is handed back, so that nobody else claims it.
    queue = f"queue-{clock.random_token()}"
    stage.commit(start("stranded", name="work", queue=queue, inputs=NO_ARGUMENTS))
    request = ClaimRequest(
        engine.executor_id, Scope("durust", ("work",)), (definition.version,), (QueueWant(queue, 1),), 1
    )

    [claimed] = stage.provider.claim(request)

    assert claimed.lease.executor_id == engine.executor_id
    eventually(lambda: stage.row("stranded").status is Status.ENQUEUED)
    row = stage.row("stranded")
    assert (row.queue, row.attempts, row.executor_id) == (queue, 0, None)
    assert bodies == []
    other = stage.make_engine()
    other.register("work", work)
    other.register_queue(WorkflowQueue(queue))
    other.launch()
    assert other.retrieve_workflow("stranded").get_result(PATIENCE) == "done"
    assert bodies == ["ran"]


@pytest.mark.parametrize("refused", [RecordStep, ParkWorkflow, FinishWorkflow])
def test_a_run_whose_write_the_database_refuses_for_no_fault_of_its_own_goes_on_later(
    stage: Stage, paint: Paint, refused: type[Write]
) -> None:
    @paint
    def work(ctx: Any) -> Any:
        done = yield ctx.step("work", lambda: "done")
        yield ctx.sleep(1.0)
        return done

    engine = stage.launch(work)
    line = stage.line_of(engine)
    line.refusals[refused] = DurustError("permission denied for table (42501)")
    handed_back = counters().get("hands_back_unowned", 0)

    handle = engine.run_workflow("work")
    eventually(lambda: counters().get("hands_back_unowned", 0) > handed_back)
    line.refusals.clear()

    assert handle.get_result(PATIENCE) == "done"


def test_what_runs_is_not_taken_for_stranded(stage: Stage, trip: Trip) -> None:
    engine = stage.launch(trip.workflow, audit_seconds=0.01)
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one", "two"])
    looks = stage.line_of(engine).calls["workflows"]
    handed_back = counters().get("hands_back_unowned", 0)

    eventually(lambda: stage.line_of(engine).calls["workflows"] > looks + 5)

    trip.gate.set()
    assert handle.get_result(PATIENCE) == "there"
    assert counters().get("hands_back_unowned", 0) == handed_back
    assert trip.bodies == ["one", "two", "three"]


@pytest.mark.covers(17, 39)
def test_a_row_that_was_cancelled_under_a_running_body_stays_cancelled(
    stage: Stage, trip: Trip, rewrite: Rewrite
) -> None:
    engine = stage.launch(trip.workflow)
    handle = engine.run_workflow("trip")
    eventually(lambda: trip.bodies == ["one", "two"])

    rewrite(handle.id, status=Status.CANCELLED)

    with pytest.raises(WorkflowCancelled, match=handle.id):
        handle.get_result(PATIENCE)
    trip.gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert trip.bodies == ["one", "two"]
    assert stage.names(handle) == {1: "one"}
    assert stage.row(handle).status is Status.CANCELLED


@pytest.mark.covers(69, 131)
def test_a_cancellation_after_the_last_step_stands(stage: Stage, paint: Paint, rewrite: Rewrite) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("last", bodies.body("last"))
        # Outside every step, so that nothing but the outcome is still to be written.
        rewrite(ctx.workflow_id, status=Status.CANCELLED)
        return "done"

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: bodies == ["last"])
    eventually(lambda: parts(engine).runner.roster.running() == [])

    assert stage.row(handle).status is Status.CANCELLED
    with pytest.raises(WorkflowCancelled):
        handle.get_result(PATIENCE)


def test_a_sync_body_that_swallows_everything_in_a_loop_does_not_hold_up_the_close(stage: Stage) -> None:
    swallowed: list[int] = []
    stop = threading.Event()

    def stubborn(ctx: SyncDurableContext) -> None:
        while not stop.is_set():
            try:
                ctx.sleep(3600)
            except:  # noqa: E722  what users write
                swallowed.append(1)

    engine = stage.launch(stubborn)
    handle = engine.run_workflow("stubborn")
    eventually(lambda: len(swallowed) > 10)

    begun = clock.monotonic()
    engine.close(0.2)
    took = clock.monotonic() - begun

    stop.set()
    assert took < STUBBORN_CLOSE_SECONDS
    assert stage.row(handle).status is Status.DELAYED


def test_an_async_body_that_swallows_everything_in_a_loop_does_not_hold_up_the_close(stage: Stage) -> None:
    swallowed: list[type[BaseException]] = []
    stop = threading.Event()

    async def stubborn(ctx: DurableContext) -> None:
        while not stop.is_set():
            try:
                await ctx.sleep(3600)
            except BaseException as error:  # noqa: BLE001  as a bare except does
                swallowed.append(type(error))

    async def work(ctx: DurableContext) -> str:
        return await ctx.step("work", lambda: "done")

    engine = stage.launch(stubborn, work)
    handle = engine.run_workflow("stubborn")
    eventually(lambda: len(swallowed) > 10)
    # Its neighbours on the loop go on.
    assert engine.start("work") == "done"
    # Keeps the collector from the body while it still loops.
    running = parts(engine).runner.roster.running()

    begun = clock.monotonic()
    engine.close(0.2)
    took = clock.monotonic() - begun

    stop.set()
    assert took < STUBBORN_CLOSE_SECONDS
    assert stage.row(handle).status is Status.DELAYED
    # The body's loop is gone, so it is the collector that ends it; that must not complain of anything.
    del running, handle
    gc.collect()
    eventually(lambda: swallowed[-1] is GeneratorExit)


@pytest.mark.covers(39, 70, 71, 131)
def test_a_body_that_swallows_its_cancellation_in_its_last_step_does_not_succeed(
    stage: Stage, paint: Paint, rewrite: Rewrite
) -> None:
    bodies = Bodies()
    swallowed: list[int] = []
    gate = threading.Event()

    def wait() -> None:
        bodies.append("last")
        assert gate.wait(PATIENCE)

    @paint
    def stubborn(ctx: Any) -> Any:
        try:
            yield ctx.step("last", wait)
        except:  # noqa: E722  what users write
            swallowed.append(1)
        return "done"

    engine = stage.launch(stubborn)
    handle = engine.run_workflow("stubborn")
    eventually(lambda: bodies == ["last"])

    rewrite(handle.id, status=Status.CANCELLED)
    gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])

    assert swallowed == [1]
    assert stage.row(handle).status is Status.CANCELLED
    assert stage.history(handle) == {}
    with pytest.raises(WorkflowCancelled):
        handle.get_result(PATIENCE)
