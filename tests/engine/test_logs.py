"""`ctx.log` names the run, and writes a line once where history tells that an earlier execution has written it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from durust import DurableContext, Status
from durust.routines.run import Run
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Catch what this module's logger writes, which is that of its workflows."""
    with caplog.at_level(logging.INFO, __name__):
        yield caplog


def records(lines: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [line for line in lines.records if line.name == __name__]


def texts(lines: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in records(lines)]


def test_a_line_names_its_run_and_comes_from_the_workflows_module(
    stage: Stage, paint: Paint, lines: pytest.LogCaptureFixture
) -> None:
    @paint
    def work(ctx: Any) -> Any:
        ctx.log.info("charged %d for %s", 7, "100%", extra={"shop": "north"})
        yield ctx.step("one", lambda: 1)

    handle = stage.launch(work).run_workflow("work")
    handle.get_result(PATIENCE)

    [line] = records(lines)
    said = vars(line)
    assert line.getMessage() == "charged 7 for 100%"
    assert (said["workflow_id"], said["workflow_name"], said["attempt"]) == (handle.id, "work", 1)
    assert (said["shop"], line.funcName, line.filename) == ("north", "work", "test_logs.py")


class Interrupted:
    """A workflow whose first execution dies in its third step."""

    def __init__(self, stage: Stage, paint: Paint) -> None:
        self._stage, self._entered, self._gate = stage, threading.Event(), threading.Event()

        @paint
        def work(ctx: Any) -> Any:
            ctx.log.info("begun")
            yield ctx.step("one", lambda: 1)
            ctx.log.info("one is done")
            yield ctx.step("two", lambda: 2)
            ctx.log.info("two is done")
            yield ctx.step("three", self._third)
            ctx.log.info("ended")

        self._work = work

    def run(self) -> None:
        """Run it, let it die, and let another engine end it."""
        engine = self._stage.launch(self._work)
        handle = engine.run_workflow("work")
        assert self._entered.wait(PATIENCE)
        self._stage.crash(engine)
        self._gate.set()
        self._stage.launch(self._work).retrieve_workflow(handle.id).get_result(PATIENCE)

    def _third(self) -> int:
        self._entered.set()
        assert self._gate.wait(PATIENCE)
        return 3


def test_what_was_written_before_a_record_is_not_written_again(
    stage: Stage, paint: Paint, lines: pytest.LogCaptureFixture
) -> None:
    Interrupted(stage, paint).run()

    # Nothing was recorded behind the third line, so nobody knows that it was written.
    assert texts(lines) == ["begun", "one is done", "two is done", "two is done", "ended"]


def test_a_log_that_does_not_ask_history_is_seen(
    stage: Stage, paint: Paint, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "is_replaying", lambda _: False)

    Interrupted(stage, paint).run()

    assert texts(lines).count("begun") == 2


def test_a_parked_run_writes_each_line_once(stage: Stage, paint: Paint, lines: pytest.LogCaptureFixture) -> None:
    @paint
    def work(ctx: Any) -> Any:
        ctx.log.info("begun")
        try:
            yield ctx.sleep(0.5)
            ctx.log.info("awake")
            yield ctx.recv("go", 30)
        finally:
            ctx.log.info("ended")

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    eventually(lambda: "awake" in texts(lines))
    eventually(lambda: stage.row(handle).status is Status.DELAYED)
    engine.send(handle.id, None, "go")
    handle.get_result(PATIENCE)

    assert texts(lines) == ["begun", "awake", "ended"]


def test_a_step_that_runs_writes_though_history_goes_on_behind_it(
    stage: Stage, lines: pytest.LogCaptureFixture
) -> None:
    gate, entered = threading.Event(), threading.Event()

    async def work(ctx: DurableContext) -> None:
        def slow() -> None:
            entered.set()
            assert gate.wait(PATIENCE)
            ctx.log.info("in the step")

        ctx.log.info("begun")
        await asyncio.gather(ctx.step("slow", slow), ctx.step("quick", lambda: None))

    engine = stage.launch(work)
    handle = engine.run_workflow("work")
    assert entered.wait(PATIENCE)
    eventually(lambda: 2 in stage.history(handle))
    stage.crash(engine)
    again = stage.launch(work)
    gate.set()
    again.retrieve_workflow(handle.id).get_result(PATIENCE)

    # The first execution's step was under way too, and its thread ends when it likes.
    eventually(lambda: texts(lines) == ["begun", "in the step", "in the step"])
