"""What a dead process left behind goes on elsewhere, behind its last recorded step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from durust import (
    DurableContext,
    DurableEngine,
    DurustError,
    MaxRecoveryAttemptsExceeded,
    NotAuthorized,
    SerializationError,
    Status,
)
from durust.model.writes import INTERNAL_QUEUE
from tests.conformance.builders import start
from tests.conformance.conftest import SHARED
from tests.engine import recovering
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.ledger import Ledger
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

NO_ARGUMENTS = '{"positionalArgs":[]}'
# An engine hears soon that it was declared dead, so that a test may let it die again and again.
HEARS_SOON: dict[str, Any] = {"beat_seconds": 0.1}
RUNS = sorted(f"{how}-{name}" for how in ("direct", "queued") for name in recovering.WORKFLOWS)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return the ledger of the test's processes."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def victim(url: str, stage: Stage, ledger: Ledger, spawn: Spawn) -> Spawned:
    """Return a process whose four workflows are in their second step."""
    assert stage.rows() == []
    spawned = spawn("-m", "tests.engine.recovering", url, str(ledger.path), env={"HOLD": "1"})
    eventually(lambda: places(ledger) == {run: [0, 1] for run in RUNS} or not spawned.running, PATIENCE)
    assert spawned.running, spawned.stderr
    return spawned


def places(ledger: Ledger) -> dict[str, list[int]]:
    """Return the steps that ran, in their order, by workflow."""
    seen: dict[str, list[int]] = {}
    for entry in ledger.entries():
        seen.setdefault(entry.workflow, []).append(entry.place)
    return seen


def make_survivor(stage: Stage, *, role: str = recovering.ROLE) -> DurableEngine:
    """Return an engine that was not launched and knows the victim's workflows, for which it demands *role*."""
    return recovering.prepare(stage.make_engine(lease_seconds=recovering.LEASE_SECONDS), role=role)


def assert_resumed(engine: DurableEngine, stage: Stage, ledger: Ledger, victim: Spawned) -> None:
    """Claim that each run ended right, and that no recorded step ran again."""
    for run in RUNS:
        assert engine.retrieve_workflow(run).get_result(PATIENCE) == [0, 1, 2]
        by_victim = [entry.pid == victim.pid for entry in ledger.entries() if entry.workflow == run]
        assert by_victim == [True, True, False, False]
    assert places(ledger) == {run: [0, 1, 1, 2] for run in RUNS}
    assert {row.workflow_id: row.attempts for row in stage.rows()} == dict.fromkeys(RUNS, 2)
    assert {stage.row(f"queued-{name}").queue for name in recovering.WORKFLOWS} == {recovering.QUEUE}
    # The workflows demand that role, so they were let in by it again.
    assert {(row.authenticated_user, row.assumed_role) for row in stage.rows()} == {(recovering.USER, recovering.ROLE)}


@pytest.mark.covers(23, 51, 72)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_launch_resumes_at_once_what_a_killed_process_left(stage: Stage, ledger: Ledger, victim: Spawned) -> None:
    victim.kill()
    engine = make_survivor(stage)

    engine.launch()

    assert_resumed(engine, stage, ledger, victim)
    assert engine.recover() == []


@pytest.mark.covers(51, 52, 53)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_recover_leaves_a_living_process_alone_and_returns_what_a_killed_one_left(
    stage: Stage, ledger: Ledger, victim: Spawned
) -> None:
    engine = make_survivor(stage)
    engine.launch()
    before = {row.workflow_id: (row.executor_id, row.token, row.status) for row in stage.rows()}

    assert engine.recover() == []
    assert {row.workflow_id: (row.executor_id, row.token, row.status) for row in stage.rows()} == before
    victim.kill()
    handles = engine.recover()

    assert sorted(handle.id for handle in handles) == RUNS
    assert [handle.get_result(PATIENCE) for handle in handles] == [[0, 1, 2]] * len(RUNS)
    assert engine.recover() == []
    assert_resumed(engine, stage, ledger, victim)


@pytest.mark.covers(72, 191)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_what_a_killed_process_left_ends_with_an_error_where_its_role_is_not_enough_any_more(
    stage: Stage, ledger: Ledger, victim: Spawned
) -> None:
    victim.kill()
    engine = make_survivor(stage, role="boss")

    engine.launch()

    for run in RUNS:
        with pytest.raises(NotAuthorized, match="boss"):
            engine.retrieve_workflow(run).get_result(PATIENCE)
    assert {row.status for row in stage.rows()} == {Status.ERROR}
    assert places(ledger) == {run: [0, 1] for run in RUNS}


@pytest.mark.covers(53, 73)
def test_the_launch_and_the_recovery_of_one_engine_leave_the_runs_of_another_alone(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> None:
        bodies.append("wait")
        assert gate.wait(PATIENCE)

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("wait", wait)
        return "done"

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: bodies == ["wait"])
    before = stage.row(handle)

    other = stage.launch(work)
    assert other.recover() == []
    assert engine.recover() == []

    assert stage.row(handle) == before
    gate.set()
    assert handle.get_result(PATIENCE) == "done"
    assert bodies == ["wait"]


@pytest.mark.covers(17, 55)
def test_a_workflow_that_ends_its_executor_each_time_is_set_aside_and_others_go_on(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def die() -> None:
        bodies.append("die")
        stage.retire(engine.executor_id)

    @paint
    def poison(ctx: Any) -> Any:
        yield ctx.step("die", die)

    @paint
    def steady(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.step("wait", lambda: gate.wait(PATIENCE))
        return "done"

    engine = stage.make_engine(**HEARS_SOON)
    engine.register("poison", poison, max_recovery_attempts=2)
    engine.register("steady", steady)
    engine.launch()
    other = engine.run_workflow("steady")
    eventually(lambda: 1 in stage.history(other))
    handle = engine.run_workflow("poison")

    with pytest.raises(MaxRecoveryAttemptsExceeded, match=handle.id) as raised:
        handle.get_result(PATIENCE)
    gate.set()
    assert raised.value.attempts == 3
    assert stage.row(handle).status is Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED
    assert other.get_result(PATIENCE) == "done"
    assert bodies == ["one", "die", "die", "die"]
    assert stage.row(other).attempts == 4


def test_neither_parks_nor_drains_count_as_attempts(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()
    attempts: list[int] = []

    def wait() -> None:
        bodies.append("wait")
        if bodies.count("wait") == 1:
            assert gate.wait(PATIENCE)

    @paint
    def work(ctx: Any) -> Any:
        attempts.append(ctx.attempt)
        yield ctx.sleep(0.4)
        yield ctx.step("wait", wait)
        yield ctx.sleep(0.4)
        return "done"

    def launch() -> DurableEngine:
        engine = stage.make_engine()
        # The first claim that counts beside the one that ends it would be too many.
        engine.register("work", work, max_recovery_attempts=0)
        engine.launch()
        return engine

    engine = launch()
    handle = engine.run_workflow("work")
    eventually(lambda: bodies == ["wait"])
    engine.close(0.05)
    gate.set()

    assert launch().retrieve_workflow(handle.id).get_result(PATIENCE) == "done"
    assert attempts == [1, 1, 1, 1]
    assert bodies == ["wait", "wait"]
    assert stage.row(handle).attempts == 1


@pytest.mark.covers(54)
def test_a_run_of_another_version_waits_for_it_and_the_launch_names_it(
    stage: Stage, paint: Paint, caplog: pytest.LogCaptureFixture
) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> None:
        bodies.append("wait")
        if bodies.count("wait") == 1:
            assert gate.wait(PATIENCE)

    @paint
    def first(ctx: Any) -> Any:
        yield ctx.step("old", wait)
        return "first"

    @paint
    def second(ctx: Any) -> Any:
        return (yield ctx.step("new", bodies.body("new", "second")))

    engine = launch_as(stage, "work", first)
    handle = engine.run_workflow("work")
    eventually(lambda: bodies == ["wait"])
    version = stage.row(handle).app_version
    stage.crash(engine)
    gate.set()

    with caplog.at_level(logging.WARNING, "durust"):
        newer = launch_as(stage, "work", second)

    [line] = [record.getMessage() for record in caplog.records if "another version" in record.getMessage()]
    assert f"{handle.id} (work)" in line
    assert newer.start("work") == "second"
    row = stage.row(handle)
    assert (row.status, row.app_version) == (Status.ENQUEUED, version)
    newer.close()
    assert launch_as(stage, "work", first).retrieve_workflow(handle.id).get_result(PATIENCE) == "first"
    assert bodies == ["wait", "new", "wait"]


def launch_as(stage: Stage, name: str, workflow: Callable[..., Any]) -> DurableEngine:
    """Return a launched engine that knows *workflow* by that name."""
    engine = stage.make_engine()
    engine.register(name, workflow)
    engine.launch()
    return engine


@pytest.mark.covers(68)
def test_a_run_whose_workflow_nobody_knows_waits_and_is_not_counted(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def known(ctx: Any) -> Any:
        return (yield ctx.step("known", bodies.body("known", "done")))

    @paint
    def late(ctx: Any) -> Any:
        return (yield ctx.step("late", bodies.body("late", "done")))

    stage.commit(start("waits", name="late", queue=INTERNAL_QUEUE, inputs=NO_ARGUMENTS))
    engine = stage.launch(known)
    assert engine.start("known") == "done"

    assert (stage.row("waits").status, stage.row("waits").attempts) == (Status.ENQUEUED, 0)
    assert stage.launch(late).retrieve_workflow("waits").get_result(PATIENCE) == "done"
    assert bodies == ["known", "late"]


@pytest.mark.covers(177)
def test_inputs_that_cannot_be_read_are_errors_and_harm_nobody(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()
    unreadable = ["{no json", '"text"', "[1", '{"positionalArgs":{}}', '{"positionalArgs":[1]}', "7"]

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", bodies.body("work", "done")))

    rows = [start(f"bad {at}", name="work", queue=INTERNAL_QUEUE, inputs=text) for at, text in enumerate(unreadable)]
    pickled = replace(start("pickled", name="work", queue=INTERNAL_QUEUE, inputs="gASV"), serialization="py_pickle")
    unknown = replace(start("unknown", name="work", queue=INTERNAL_QUEUE, inputs="{}"), serialization="unheard of")
    right = start("right", name="work", queue=INTERNAL_QUEUE, inputs=NO_ARGUMENTS)
    stage.commit(*rows, pickled, unknown, right)

    engine = stage.launch(work)

    assert engine.retrieve_workflow("right").get_result(PATIENCE) == "done"
    for row in [*rows, pickled, unknown]:
        with pytest.raises((SerializationError, TypeError)):
            engine.retrieve_workflow(row.workflow_id).get_result(PATIENCE)
        assert stage.row(row.workflow_id).status is Status.ERROR
    assert bodies == ["work"]


@pytest.mark.covers(59)
def test_a_row_without_an_id_stops_nobody(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", bodies.body(f"work {ctx.workflow_id}", "done")))

    named = start("named", name="work", queue=INTERNAL_QUEUE, inputs=NO_ARGUMENTS)
    stage.commit(replace(named, workflow_id=""), named)

    engine = stage.launch(work)

    assert engine.retrieve_workflow("named").get_result(PATIENCE) == "done"
    eventually(lambda: parts(engine).runner.roster.running() == [])
    assert "work named" in bodies


@pytest.mark.covers(67)
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_body_that_raises_what_ends_programs_ends_only_itself(
    stage: Stage, paint: Paint, interrupt: type[BaseException]
) -> None:
    @paint
    def rude(ctx: Any) -> Any:
        yield ctx.step("first", lambda: None)
        raise interrupt

    @paint
    def work(ctx: Any) -> Any:
        return (yield ctx.step("work", lambda: "done"))

    engine = stage.launch(rude, work)
    handle = engine.run_workflow("rude")

    with pytest.raises(DurustError, match=interrupt.__name__):
        handle.get_result(PATIENCE)
    assert stage.row(handle).status is Status.ERROR
    assert engine.start("work") == "done"


@pytest.mark.covers(47)
def test_async_runs_that_wait_for_each_other_in_threads_are_recovered_together(stage: Stage) -> None:
    runs = 40
    gate, meeting = threading.Event(), threading.Barrier(runs)
    held: list[str] = []

    def hold(workflow_id: str) -> None:
        if gate.is_set():
            meeting.wait(PATIENCE)
        else:
            held.append(workflow_id)
            gate.wait(PATIENCE)

    async def meet(ctx: DurableContext) -> str:
        await ctx.step("hold", hold, ctx.workflow_id)
        return "met"

    engine = stage.launch(meet, slots=runs)
    handles = [engine.run_workflow("meet") for _ in range(runs)]
    eventually(lambda: len(held) == runs, PATIENCE)
    stage.crash(engine)
    gate.set()

    again = stage.launch(meet, slots=runs)

    assert [again.retrieve_workflow(handle.id).get_result(PATIENCE) for handle in handles] == ["met"] * runs
