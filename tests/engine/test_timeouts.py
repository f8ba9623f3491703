"""A workflow ends at its deadline, wherever it is by then, and never has a result after it."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust import (
    DurableEngine,
    InvalidArgument,
    Status,
    WorkflowCancelled,
    WorkflowOptions,
    WorkflowQueue,
    WorkflowTimedOut,
    clock,
)
from durust.engine.deadlines import Deadlines
from durust.model.records import Lease
from tests.conformance.builders import start
from tests.conformance.conftest import Rewrite
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

# Soon, and yet longer than it takes to begin.
SHORT = 0.5
HOUR = 3600.0
# No sweep comes in a test, so that what happens is the run's own doing.
UNSWEPT: dict[str, Any] = {"sweep_seconds": 3600.0, "park_after_seconds": HOUR * 2}


def options(timeout: float | timedelta = SHORT, **fields: Any) -> WorkflowOptions:
    """Return options with a timeout."""
    return WorkflowOptions(timeout=timeout, **fields)


def no_timer_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs' own timers do nothing, as in a process that hangs."""
    monkeypatch.setattr(Deadlines, "run_once", lambda _: None)


@pytest.mark.covers(135)
def test_a_timeout_ends_a_wait_of_the_body(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def wait(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(HOUR)
        yield ctx.step("two", bodies.body("two"))

    engine = stage.launch(wait, **UNSWEPT)
    handle = engine.run_workflow("wait", options=options())

    with pytest.raises(WorkflowTimedOut, match=f"{handle.id} did not end before its deadline") as raised:
        handle.get_result(PATIENCE)

    row = stage.row(handle)
    assert not isinstance(raised.value, TimeoutError)
    assert (row.status, row.executor_id, row.token) == (Status.CANCELLED, None, None)
    # Later when no slot was free at once, and it was queued.
    assert row.created_at_ms + SHORT * 1000 <= (row.deadline_ms or 0) <= (row.completed_at_ms or 0)
    assert bodies == ["one"]
    eventually(lambda: parts(engine).runner.roster.running() == [])


@pytest.mark.covers(31, 135)
def test_a_timeout_cancels_an_async_step_which_is_not_recorded_and_runs_again(stage: Stage, paint: Paint) -> None:
    seen = Bodies()

    async def work() -> str:
        seen.append("begun")
        if len(seen) > 1:
            return "done"
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "late"

    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("work", work))

    engine = stage.launch(job, **UNSWEPT)
    handle = engine.run_workflow("job", options=options())
    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    eventually(lambda: parts(engine).runner.roster.running() == [])
    # The thread of a sync run does not wait for it.
    eventually(lambda: seen == ["begun", "cancelled"])
    assert stage.history(handle) == {}

    again = engine.resume_workflow(handle.id)

    assert again.get_result(PATIENCE) == "done"


@pytest.mark.covers(71, 128, 131, 135)
def test_a_step_that_outlives_the_deadline_records_nothing_and_the_body_goes_no_further(
    stage: Stage, paint: Paint
) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold() -> str:
        bodies.append("held")
        assert gate.wait(PATIENCE)
        return "held"

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("first", bodies.body("first"))
        yield ctx.step("hold", hold)
        yield ctx.step("after", bodies.body("after"))
        return "a result"

    engine = stage.launch(job, **UNSWEPT)
    handle = engine.run_workflow("job", options=options())
    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)

    gate.set()

    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert stage.names(handle) == {1: "first"}
    assert stage.row(handle).status is Status.CANCELLED
    assert engine.resume_workflow(handle.id).get_result(PATIENCE) == "a result"
    assert bodies == ["first", "held", "held", "after"]


@pytest.mark.covers(70)
def test_a_body_that_swallows_its_cancellation_has_no_result(stage: Stage, paint: Paint) -> None:
    @paint
    def stubborn(ctx: Any) -> Any:
        try:
            yield ctx.sleep(HOUR)
        except BaseException:  # noqa: BLE001  that is what is tested
            return "I go on"

    engine = stage.launch(stubborn, **UNSWEPT)
    handle = engine.run_workflow("stubborn", options=options())

    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert stage.row(handle).status is Status.CANCELLED


def test_a_hanging_process_is_timed_out_by_a_sweep(stage: Stage, paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    no_timer_asks(monkeypatch)
    bodies, gate = Bodies(), threading.Event()

    @paint
    def hang(ctx: Any) -> Any:
        yield ctx.step("hang", lambda: gate.wait(PATIENCE))
        yield ctx.step("after", bodies.body("after"))

    hung = stage.launch(hang, sweep_seconds=HOUR)
    handle = hung.run_workflow("hang", options=options())
    other = stage.launch()

    with pytest.raises(WorkflowTimedOut):
        other.retrieve_workflow(handle.id).get_result(PATIENCE)
    gate.set()
    eventually(lambda: parts(hung).runner.roster.running() == [])
    assert (bodies, stage.history(handle)) == ([], {})


def test_a_sweep_closes_what_it_times_out_in_its_own_process(
    stage: Stage, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_timer_asks(monkeypatch)
    seen = Bodies()

    async def work() -> None:
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("work", work)

    handle = stage.launch(job).run_workflow("job", options=options())

    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    eventually(lambda: seen == ["cancelled"])


@pytest.mark.covers(136)
def test_a_parked_run_times_out_while_nobody_holds_it(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def doze(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)
        yield ctx.step("after", bodies.body("after"))

    engine = stage.launch(doze)
    handle = engine.run_workflow("doze", options=options(1.0))
    eventually(lambda: stage.row(handle).status is Status.DELAYED)

    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    row = stage.row(handle)
    assert (row.status, row.delay_until_ms) == (Status.CANCELLED, None)
    assert row.completed_at_ms is not None
    assert row.deadline_ms is not None
    assert row.completed_at_ms >= row.deadline_ms
    assert bodies == []


@pytest.mark.covers(87, 135)
def test_the_time_of_queued_work_begins_with_its_first_claim_and_goes_on_over_crashes_and_parks(
    stage: Stage, paint: Paint
) -> None:
    attempts: list[int] = []
    gate = threading.Event()

    @paint
    def work(ctx: Any) -> Any:
        attempts.append(ctx.attempt)
        yield ctx.sleep(0.4)
        yield ctx.step("hold", hold)
        yield ctx.sleep(0.4)
        return "done"

    def hold() -> bool:
        attempts.append(0)
        return gate.wait(PATIENCE)

    def launch() -> DurableEngine:
        engine = stage.make_engine()
        engine.register("work", work)
        engine.register_queue(WorkflowQueue("later"))
        engine.launch()
        return engine

    stage.commit(start("w", queue="later", name="work", inputs='{"positionalArgs":[]}', timeout_ms=3_600_000))
    assert stage.row("w").deadline_ms is None
    first = launch()
    eventually(lambda: attempts == [1, 1, 0])
    deadline = stage.row("w").deadline_ms
    assert deadline is not None

    stage.crash(first)
    gate.set()
    second = launch()

    assert second.retrieve_workflow("w").get_result(PATIENCE) == "done"
    assert stage.row("w").deadline_ms == deadline
    assert attempts == [1, 1, 0, 2, 0, 2]


@pytest.mark.covers(94, 136)
def test_queued_work_whose_deadline_passes_never_runs(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    @paint
    def work(ctx: Any, name: str) -> Any:
        yield ctx.step(name, bodies.body(name))
        yield ctx.step("hold", lambda: gate.wait(PATIENCE) or True)

    engine = stage.make_engine()
    engine.register("work", work)
    engine.register_queue(WorkflowQueue("narrow", worker_concurrency=1))
    engine.launch()
    holder = engine.enqueue("narrow", "work", "holder")
    eventually(lambda: bodies == ["holder"])

    deadline = datetime.now(UTC) + timedelta(seconds=SHORT)
    late = engine.enqueue("narrow", "work", "late", options=WorkflowOptions(deadline=deadline))

    with pytest.raises(WorkflowTimedOut):
        late.get_result(PATIENCE)
    gate.set()
    holder.get_result(PATIENCE)
    assert bodies == ["holder"]


def test_a_run_whose_time_is_over_when_it_is_claimed_does_not_begin(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))

    engine = stage.launch(work, **UNSWEPT)
    past = datetime.now(UTC) - timedelta(hours=1)

    handle = engine.run_workflow("work", options=WorkflowOptions(deadline=past))

    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    assert bodies == []


def test_a_deadline_that_was_moved_is_heeded_by_the_old_timer(stage: Stage, paint: Paint, rewrite: Rewrite) -> None:
    @paint
    def wait(ctx: Any) -> Any:
        yield ctx.sleep(1.5)
        return "done"

    engine = stage.launch(wait, **UNSWEPT)
    handle = engine.run_workflow("wait", options=options(1.0))
    # Beside a claim under way it is queued first, and its own claim would set a deadline again.
    eventually(lambda: stage.row(handle).status is Status.PENDING)
    rewrite(handle.id, workflow_deadline_epoch_ms=clock.now_ms() + 3_600_000)

    assert handle.get_result(PATIENCE) == "done"


@pytest.mark.covers(57, 128)
def test_a_resumed_run_has_its_timeout_anew_and_its_old_timer_is_void(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.sleep(0.7)
        yield ctx.sleep(0.7 if bodies.count("second") else HOUR)
        return "done"

    engine = stage.launch(work, **UNSWEPT)
    handle = engine.run_workflow("work", options=options(1.0))
    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    row = stage.row(handle)
    eventually(lambda: parts(engine).runner.roster.running() == [])

    engine.resume_workflow(handle.id)

    eventually(lambda: stage.row(handle).deadline_ms not in {None, row.deadline_ms})
    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)
    again = stage.row(handle)
    assert again.deadline_ms is not None
    assert again.deadline_ms >= (row.completed_at_ms or 0) + 1000
    assert (again.attempts, bodies) == (1, ["one"])


def test_timers_of_runs_that_ended_are_forgotten(stage: Stage, paint: Paint) -> None:
    @paint
    def quick(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(quick)

    for handle in [engine.run_workflow("quick", options=options(HOUR)) for _ in range(200)]:
        handle.get_result(PATIENCE)

    deadlines = parts(engine).runner.deadlines
    eventually(lambda: deadlines._due == {})
    assert len(deadlines._heap) <= 65


def test_a_deadline_that_no_thread_can_wait_for_does_not_keep_others_from_theirs(stage: Stage, paint: Paint) -> None:
    @paint
    def wait(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)

    engine = stage.launch(wait, **UNSWEPT)
    deadlines = parts(engine).runner.deadlines
    engine.run_workflow("wait", options=WorkflowOptions(deadline=datetime.max.replace(tzinfo=UTC)))
    # It waits for the far one now.
    eventually(lambda: len(deadlines._due) == 1 and not deadlines._wake.is_set())

    handle = engine.run_workflow("wait", options=options())

    with pytest.raises(WorkflowTimedOut):
        handle.get_result(PATIENCE)


def test_a_timer_of_nobody_does_nothing(stage: Stage) -> None:
    engine = stage.launch()

    parts(engine).runner.deadlines.watch(Lease("nobody", "du:nobody", "token"), 0.0)

    eventually(lambda: parts(engine).runner.deadlines._due == {})


def test_a_cancel_that_comes_before_the_deadline_is_no_timeout(stage: Stage, paint: Paint) -> None:
    @paint
    def wait(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)

    engine = stage.launch(wait, **UNSWEPT)
    handle = engine.run_workflow("wait", options=options(HOUR))
    engine.cancel_workflow(handle.id)

    with pytest.raises(WorkflowCancelled) as raised:
        handle.get_result(PATIENCE)
    assert type(raised.value) is WorkflowCancelled


def test_what_cannot_be_meant_is_refused() -> None:
    now = datetime.now(UTC)
    bad: list[dict[str, Any]] = [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": timedelta(seconds=-1)},
        {"timeout": 1e308},
        {"deadline": now.replace(tzinfo=None)},
        {"deadline": 5},
        {"deadline": now, "timeout": 5},
    ]

    for fields in bad:
        with pytest.raises(InvalidArgument, match=r"^(timeout|deadline)="):
            WorkflowOptions(**fields)
    assert WorkflowOptions(timeout=timedelta(minutes=1)).timeout_ms == 60_000
    assert WorkflowOptions(timeout=1e-9).timeout_ms == 1
    assert WorkflowOptions(deadline=datetime(1970, 1, 1, 1, tzinfo=UTC)).deadline_ms == 3_600_000
