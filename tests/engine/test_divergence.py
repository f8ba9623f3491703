"""A body that does not follow its history ends with an error that says where, and is not tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from durust import StepDiverged, WorkflowHandle
from durust.model.status import Status
from tests.conformance.conftest import Rewrite
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

Script = Callable[..., Any]


def change(stage: Stage, rewrite: Rewrite, old: Script, new: Script) -> tuple[WorkflowHandle[Any], int]:
    """Let *new* go on with what *old* began and left asleep; return its handle, and how often it was started so far."""
    first = stage.make_engine(app_version="v1")
    first.register("work", old)
    first.launch()
    handle = first.run_workflow("work")
    eventually(lambda: stage.row(handle).status is Status.DELAYED, PATIENCE)
    attempts = stage.row(handle).attempts
    first.close()
    second = stage.make_engine(app_version="v2")
    second.register("work", new)
    second.launch()
    [adopted] = second.adopt_stranded()
    rewrite(handle.id, delay_until_epoch_ms=1)
    return adopted, attempts


def begin(bodies: Bodies) -> Script:
    """Return a workflow of two steps that then sleeps."""

    def old(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        yield ctx.step("two", bodies.body("two"))
        yield ctx.sleep(1.0)

    return old


@pytest.mark.covers(33)
@pytest.mark.parametrize(
    ("change_of", "place", "asked", "recorded"),
    [
        ("name", 2, "other", "two"),
        ("order", 1, "two", "one"),
        ("step for a sleep", 3, "step", "DBOS.sleep"),
        ("sleep for a step", 1, "DBOS.sleep", "one"),
        ("one more", 2, "more", "two"),
        ("one less", 2, "DBOS.sleep", "two"),
    ],
)
def test_it_names_the_place_and_both_names_and_ends(
    stage: Stage, paint: Paint, rewrite: Rewrite, change_of: str, place: int, asked: str, recorded: str
) -> None:
    bodies = Bodies()
    changes: dict[str, list[str | None]] = {
        "name": ["one", "other", None],
        "order": ["two", "one", None],
        "step for a sleep": ["one", "two", "step"],
        "sleep for a step": [None, "one", "two"],
        "one more": ["one", "more", "two", None],
        "one less": ["one", None],
    }

    def new(ctx: Any) -> Any:
        for name in changes[change_of]:
            # Whatever the body catches: it is ended.
            try:
                yield ctx.sleep(1.0) if name is None else ctx.step(name, bodies.body("must not run"))
            except Exception:  # noqa: BLE001  as a careless body would
                bodies.append("caught")
        return "must not count"

    handle, attempts = change(stage, rewrite, paint(begin(bodies)), paint(new))

    with pytest.raises(StepDiverged) as caught:
        handle.get_result(PATIENCE)
    error = caught.value
    assert (error.workflow_id, error.place, error.asked, error.recorded) == (handle.id, place, asked, recorded)
    assert f"step {place} of {handle.id}: the code asked for {asked!r}, history has {recorded!r}" in str(error)
    row = stage.row(handle)
    assert (row.status, row.attempts) == (Status.ERROR, attempts + 1)
    assert bodies == ["one", "two"]


@pytest.mark.covers(33)
def test_it_is_not_tried_again(stage: Stage, paint: Paint, rewrite: Rewrite, caplog: pytest.LogCaptureFixture) -> None:
    bodies = Bodies()
    starts = []

    def new(ctx: Any) -> Any:
        starts.append(ctx.attempt)
        yield ctx.step("other", bodies.body("other"))

    with caplog.at_level(logging.DEBUG, "durust"):
        handle, _ = change(stage, rewrite, paint(begin(bodies)), paint(new))
        with pytest.raises(StepDiverged):
            handle.get_result(PATIENCE)

    assert len(starts) == 1
    assert stage.row(handle).status.is_terminal


@pytest.mark.covers(33)
def test_a_body_that_ends_before_its_history_does_ends(stage: Stage, paint: Paint, rewrite: Rewrite) -> None:
    bodies = Bodies()

    def new(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        return "shorter"

    handle, _ = change(stage, rewrite, paint(begin(bodies)), paint(new))

    # Nothing that was recorded is asked for otherwise, so nothing contradicts the history.
    assert handle.get_result(PATIENCE) == "shorter"
    assert stage.names(handle) == {1: "one", 2: "two", 3: "DBOS.sleep"}
    assert bodies == ["one", "two"]
