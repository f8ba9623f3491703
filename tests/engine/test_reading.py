"""What engines and clients tell of workflows: their steps, their counts, and values that can be read or not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from durust import InvalidArgument, ListFilter, Status, WorkflowNotFound, WorkflowOptions
from durust.model.writes import StartWorkflow
from tests.conformance.builders import NAME, make_claimed, record_step, start_child
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.stage import Stage

NOWHERE = "nowhere"


@dataclass
class Order:
    """What a workflow takes."""

    number: int


def left_behind(stage: Stage, workflow_id: str, inputs: str, serialization: str) -> None:
    """Leave a workflow as another library may, on a queue that nobody serves."""
    start = StartWorkflow(workflow_id, "take", inputs, serialization, workflow_id, "durust", queue=NOWHERE)
    stage.commit(start)


def take(ctx: Any, order: Order) -> int:
    """Return the number."""
    return order.number


@pytest.mark.covers(170)
def test_a_value_that_cannot_be_read_hides_no_other(stage: Stage) -> None:
    engine = stage.launch(take)
    assert engine.start("take", Order(7), options=WorkflowOptions(workflow_id="good")) == 7
    for name, inputs, form in (
        ("broken", "{", "portable_json"),
        ("pickled", "gASVAA==", "py_pickle"),
        ("odd", "x", "GOB"),
    ):
        left_behind(stage, name, inputs, form)

    rows = engine.list_workflows(ListFilter(load_input=True, load_output=True))
    decoded = {row.workflow_id: engine.decode(row) for row in rows}

    good = decoded.pop("good")
    assert (good.args, good.kwargs, good.output, good.error) == ((Order(7),), {}, 7, None)
    assert good.unreadable == {}
    assert [(name, *one.unreadable) for name, one in sorted(decoded.items())] == [
        ("broken", "inputs"),
        ("odd", "inputs"),
        ("pickled", "inputs"),
    ]
    assert "py_pickle" in decoded["pickled"].unreadable["inputs"]
    assert decoded["broken"].row.inputs == "{"


@pytest.mark.covers(171)
def test_steps_are_listed_with_their_errors_in_pages_of_either_order(stage: Stage, paint: Paint) -> None:
    def fail() -> None:
        raise ValueError("no stock")

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        try:
            yield ctx.step("two", fail)
        except ValueError:
            yield ctx.step("three", lambda: {"n": 3})

    engine = stage.launch(work)
    engine.start("work", options=WorkflowOptions(workflow_id="w"))

    def names(**page: Any) -> list[str]:
        return [record.name for record in engine.list_steps("w", **page)]

    decoded = [engine.decode(record) for record in engine.list_steps("w")]
    assert [(one.output, str(one.error or "")) for one in decoded] == [(1, ""), (None, "no stock"), ({"n": 3}, "")]
    assert names(newest_first=True) == ["three", "two", "one"]
    assert names(limit=1, offset=1) == ["two"]
    assert names(newest_first=True, limit=2) == ["three", "two"]
    with pytest.raises(InvalidArgument, match="limit=-1"):
        names(limit=-1)


@pytest.mark.covers(171)
def test_a_step_that_started_a_child_names_it(stage: Stage) -> None:
    engine = stage.launch()
    parent = make_claimed(stage.provider, "parent", by="elsewhere")
    stage.commit(record_step(parent, 1), start_child(parent, "child", place=2, after=1, queue=NOWHERE))

    listed = engine.list_steps("parent")

    assert [(record.place, record.name, record.child_id) for record in listed] == [
        (1, "charge", None),
        (2, NAME, "child"),
    ]
    assert [row.workflow_id for row in engine.list_workflows(ListFilter(parent_ids="parent"))] == ["child"]


@pytest.mark.covers(172, 175)
def test_an_engine_and_a_client_count_workflows_and_steps(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)

    engine = stage.launch(work)
    for _ in range(3):
        engine.start("work")
    client = make_client(stage)

    async def awaited() -> list[Any]:
        return [
            *await engine.aio.count_workflows(by="name"),
            *await client.aio.count_steps(),
            *await client.aio.list_steps(engine.list_workflows()[0].workflow_id, limit=1),
        ]

    with client:
        [by_state] = client.count_workflows()
        [by_hour] = engine.count_workflows(ListFilter(names="work"), by=(), bucket=timedelta(days=3650))
        [steps] = engine.count_steps(names="one")
        named, counted, listed = asyncio.run(awaited())

    assert (by_state.status, by_state.count) == (Status.SUCCESS, 3)
    assert by_state.seconds is not None
    assert by_state.seconds.least <= by_state.seconds.mean <= by_state.seconds.most
    assert (by_hour.bucket is not None, by_hour.count) == (True, 3)
    assert (steps.name, steps.count, steps.errors) == ("one", 3, 0)
    assert (named.name, named.count) == ("work", 3)
    assert (counted.name, counted.count) == ("one", 3)
    assert listed.name == "one"


def test_the_steps_of_nobody_are_not_found(stage: Stage) -> None:
    with pytest.raises(WorkflowNotFound, match=NOWHERE):
        stage.launch().list_steps(NOWHERE)


@pytest.mark.parametrize("query", ["", "ship", {"names": "ship"}])
def test_what_is_no_filter_is_refused(stage: Stage, query: Any) -> None:
    engine = stage.launch()

    for ask in (engine.list_workflows, engine.count_workflows):
        with pytest.raises(InvalidArgument, match="must be a ListFilter"):
            ask(query)
