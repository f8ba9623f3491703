"""A run moves from one database to another as JSON, and goes on or shows its result there."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    Status,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowOptions,
)
from tests.engine.bodies import Bodies
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

HOUR = 3600.0


@pytest.mark.covers(174, 182)
def test_a_result_moves_with_its_workflow(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any, word: str) -> Any:
        yield ctx.step("one", lambda: {1, 2})
        return (word, {3})

    engine = stage.make_engine()
    engine.register("job", job, serializer="pickle")
    engine.launch()
    handle = engine.run_workflow("job", "word")
    result = handle.get_result(PATIENCE)
    before = stage.row(handle), stage.history(handle)
    document = json.loads(json.dumps(engine.export_workflow(handle.id)))
    engine.delete_workflow(handle.id)

    moved = engine.import_workflow(document)

    assert moved.get_result(PATIENCE) == result == ("word", {3})
    row, steps = stage.row(moved), stage.history(moved)
    assert (row.serialization, row.status, row.output, steps) == (
        "py_pickle",
        Status.SUCCESS,
        before[0].output,
        before[1],
    )
    assert engine.export_workflow(handle.id) == document


@pytest.mark.covers(174)
def test_what_had_not_ended_goes_on_behind_its_last_step(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def hold() -> str:
        bodies.append("hold")
        assert gate.wait(PATIENCE)
        return "held"

    @paint
    def job(ctx: Any) -> Any:
        yield ctx.step("one", bodies.body("one"))
        return (yield ctx.step("hold", hold))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    eventually(lambda: "hold" in bodies)
    document = engine.export_workflow(handle.id)
    engine.delete_workflow(handle.id)
    gate.set()
    eventually(lambda: parts(engine).runner.roster.running() == [])

    moved = engine.import_workflow(document)

    assert moved.get_result(PATIENCE) == "held"
    assert bodies.count("one") == 1


def test_a_parked_run_waits_on_and_a_delayed_one_keeps_its_delay(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.sleep(HOUR)

    engine = stage.launch(job)
    parked, delayed = engine.run_workflow("job"), engine.run_workflow("job", options=WorkflowOptions(delay=HOUR))
    eventually(lambda: stage.row(parked).status is Status.DELAYED)
    instants = [stage.row(one).delay_until_ms for one in (parked, delayed)]
    documents = [engine.export_workflow(one.id) for one in (parked, delayed)]
    engine.delete_workflow([parked.id, delayed.id])

    for document in documents:
        engine.import_workflow(document)

    assert stage.row(delayed).status is Status.DELAYED
    eventually(lambda: [stage.row(one).delay_until_ms for one in (parked, delayed)] == instants)


@pytest.mark.covers(174)
def test_an_id_that_is_taken_is_a_conflict(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)
    before = stage.row(handle)

    with pytest.raises(WorkflowConflict, match=handle.id):
        engine.import_workflow(engine.export_workflow(handle.id))
    with pytest.raises(WorkflowNotFound, match="nobody"):
        engine.export_workflow("nobody")

    assert stage.row(handle) == before


def test_what_is_no_document_is_refused(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)
    good = engine.export_workflow(handle.id)
    engine.delete_workflow(handle.id)
    [workflow] = good["workflows"]
    wrong: list[Any] = [
        None,
        {},
        good | {"version": 2},
        good | {"workflows": []},
        good | {"workflows": [workflow, workflow]},
        good | {"workflows": [workflow | {"status": "ASLEEP"}]},
        good | {"workflows": [workflow | {"workflow_id": ""}]},
        good | {"workflows": [workflow | {"priority": True}]},
        good | {"workflows": [workflow | {"priority": 2**40}]},
        good | {"workflows": [workflow | {"attributes": "{"}]},
        good | {"workflows": [workflow | {"steps": {}}]},
        good | {"workflows": [workflow | {"steps": workflow["steps"] * 2}]},
        good | {"workflows": [workflow | {"past_events": [{"key": "a", "text": "1", "serialization": None}]}]},
        good | {"workflows": [workflow | {"steps": [{"place": "1"}]}]},
        good | {"workflows": [{name: value for name, value in workflow.items() if name != "name"}]},
    ]

    for document in wrong:
        with pytest.raises(InvalidArgument, match=r"^(document|workflow_id)="):
            engine.import_workflow(document)

    assert stage.rows() == []


def test_each_twin_and_a_client_do_the_same(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        return (yield ctx.step("one", lambda: 1))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)

    async def moved(target: Any) -> Any:
        document = await target.aio.export_workflow(handle.id, children=True)
        await target.aio.delete_workflow(handle.id)
        return await (await target.aio.import_workflow(document)).aio.get_result(PATIENCE)

    assert asyncio.run(moved(engine)) == 1
    with DurableClient(stage.make_line()) as client:
        assert asyncio.run(moved(client)) == 1


def test_the_form_of_a_document_is_a_promise(stage: Stage, paint: Paint) -> None:
    @paint
    def job(ctx: Any) -> Any:
        yield ctx.set_event("stage", "done")
        yield ctx.write_stream("log", "line")

    engine = stage.launch(job)
    handle = engine.run_workflow("job")
    handle.get_result(PATIENCE)
    engine.send(handle.id, "late")

    document = engine.export_workflow(handle.id)

    [workflow] = document["workflows"]
    assert (document["format"], document["version"]) == ("durust.workflows", 1)
    lists = {name: sorted(workflow.pop(name)[0]) for name in ("steps", "events", "past_events", "streams", "messages")}
    assert lists == {
        "steps": [
            "child_id",
            "claim",
            "completed_at_ms",
            "error",
            "name",
            "output",
            "place",
            "serialization",
            "started_at_ms",
        ],
        "events": ["key", "place", "serialization", "text"],
        "past_events": ["key", "place", "serialization", "text"],
        "streams": ["key", "offset", "place", "serialization", "text"],
        "messages": [
            "consumed_by",
            "created_at_ms",
            "is_consumed",
            "message_id",
            "serialization",
            "text",
            "topic",
        ],
    }
    assert sorted(workflow) == [
        "app_name",
        "app_version",
        "assumed_role",
        "attempts",
        "attributes",
        "authenticated_roles",
        "authenticated_user",
        "completed_at_ms",
        "created_at_ms",
        "deadline_ms",
        "delay_until_ms",
        "error",
        "forked_from",
        "inputs",
        "name",
        "output",
        "parent_id",
        "partition_key",
        "priority",
        "queue",
        "schedule_name",
        "serialization",
        "started_at_ms",
        "status",
        "timeout_ms",
        "updated_at_ms",
        "was_forked_from",
        "workflow_id",
    ]
