"""A workflow bears the user it runs for, his roles, and attributes by which it is found."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

import durust
from durust import (
    DurableEngine,
    InvalidArgument,
    ListFilter,
    NotAuthorized,
    NotInWorkflow,
    Status,
    WorkflowNotFound,
    WorkflowOptions,
    debounce,
)
from durust.model.attribute_writes import SET_ATTRIBUTES_NAME
from tests.engine.bodies import Bodies
from tests.engine.clients import launch, make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

ANN = WorkflowOptions(authenticated_user="ann", authenticated_roles=["guest", "admin"])
BOB = WorkflowOptions(authenticated_user="bob", authenticated_roles=["guest"])


def found(engine: DurableEngine, **attributes: Any) -> list[str]:
    """Return the ids of the workflows that hold *attributes*."""
    return [row.workflow_id for row in engine.list_workflows(ListFilter(attributes=attributes))]


@pytest.mark.covers(192)
def test_a_workflow_is_found_by_what_its_starter_and_its_body_say(stage: Stage, paint: Paint) -> None:
    seen: list[Any] = []

    @paint
    def work(ctx: Any) -> Any:
        seen.append(ctx.attributes)
        yield ctx.set_attributes({"stage": "packed", "tags": ["a", "b"], "customer": None})
        seen.append(ctx.attributes)

    engine = stage.launch(work)

    engine.start("work", options=WorkflowOptions(workflow_id="w", attributes={"customer": "c-1", "size": 3}))

    assert seen == [{"customer": "c-1", "size": 3}, {"size": 3, "stage": "packed", "tags": ["a", "b"]}]
    assert found(engine, tags=["b"], size=3) == ["w"]
    assert found(engine, customer="c-1") == []
    assert engine.decode(stage.row("w")).attributes == seen[1]
    assert stage.names("w") == {1: SET_ATTRIBUTES_NAME}


@pytest.mark.covers(192)
def test_attributes_that_are_recorded_are_not_given_again_by_a_replay(stage: Stage, paint: Paint) -> None:
    bodies, gate = Bodies(), threading.Event()

    def wait() -> None:
        bodies.append("wait")
        assert gate.wait(PATIENCE)

    @paint
    def work(ctx: Any) -> Any:
        yield ctx.set_attributes({"stage": "packed"})
        yield ctx.step("wait", wait)

    first = stage.launch(work)
    first.run_workflow("work", options=WorkflowOptions(workflow_id="w"))
    eventually(lambda: bodies == ["wait"], PATIENCE)
    stage.crash(first)
    second = stage.launch(work)
    second.set_attributes("w", {"stage": "shipped"})
    gate.set()

    second.retrieve_workflow("w").get_result(PATIENCE)

    assert found(second, stage="shipped") == ["w"]


@pytest.mark.covers(192)
def test_attributes_are_changed_from_outside_of_a_workflow(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)

    engine = stage.launch(work)
    engine.start("work", options=WorkflowOptions(workflow_id="w", attributes={"a": 1}))
    client = make_client(stage)

    async def change() -> None:
        await engine.aio.set_attributes("w", {"b": 2})
        await client.aio.set_attributes("w", {"a": None})

    with client:
        engine.set_attributes("w", {"c": {"d": 4}})
        asyncio.run(change())
        with pytest.raises(WorkflowNotFound, match="nobody"):
            client.set_attributes("nobody", {"a": 1})
        with pytest.raises(InvalidArgument, match="stands at a"):
            client.set_attributes("w", {"a": object()})

    assert engine.decode(stage.row("w")).attributes == {"b": 2, "c": {"d": 4}}
    assert stage.row("w").status is Status.SUCCESS


def test_attributes_are_set_in_the_body_alone(stage: Stage, paint: Paint) -> None:
    contexts: list[Any] = []

    @paint
    def work(ctx: Any) -> Any:
        contexts.append(ctx)
        yield ctx.step("one", lambda: 1)

    stage.launch(work).start("work")

    with pytest.raises(NotInWorkflow, match=r"ctx\.set_attributes"):
        contexts[0].set_attributes({"a": 1})


# Users and roles

ENQUEUE = """
select dbos.enqueue_workflow('work', 'mail', authenticated_user => %(user)s, authenticated_roles => %(roles)s)
"""


def tell(ctx: Any) -> list[Any]:
    """Return for whom a workflow runs."""
    return [ctx.authenticated_user, list(ctx.authenticated_roles), ctx.assumed_role]


@pytest.mark.covers(191)
def test_who_may_not_start_a_workflow_hears_of_it_and_nothing_is_stored(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)

    engine = launch(stage)
    engine.register("work", work, required_roles=["admin", "boss"])

    for start in (
        lambda: engine.run_workflow("work", options=BOB),
        lambda: engine.start("work"),
        lambda: engine.enqueue("mail", "work", options=BOB),
        lambda: engine.enqueue_many("mail", "work", [()], options=[BOB]),
        lambda: engine.enqueue("mail", debounce("work", "key", 1), options=BOB),
        lambda: asyncio.run(_awaited(engine, BOB)),
    ):
        with pytest.raises(NotAuthorized, match="admin, boss"):
            start()

    assert stage.rows() == []
    # A refused start leaves its slot to others.
    assert engine.vitals().running == 0


async def _awaited(engine: DurableEngine, options: WorkflowOptions) -> None:
    await engine.aio.run_workflow("work", options=options)


@pytest.mark.covers(72, 191)
def test_who_has_one_of_the_roles_is_let_in_by_it(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        return tell(ctx)

    engine = launch(stage)
    engine.register("work", work, required_roles=["boss", "admin"])

    results = [
        engine.start("work", options=ANN),
        engine.enqueue("mail", "work", options=ANN).get_result(PATIENCE),
        engine.enqueue("mail", debounce("work", "key", 0.01), options=ANN).get_result(PATIENCE),
    ]

    assert results == [["ann", ["guest", "admin"], "admin"]] * 3
    assert {(row.authenticated_user, row.authenticated_roles, row.assumed_role) for row in stage.rows()} == {
        ("ann", '["guest","admin"]', "admin")
    }


@pytest.mark.covers(191)
def test_what_was_queued_without_a_role_ends_with_an_error_before_its_body_begins(stage: Stage, paint: Paint) -> None:
    bodies = Bodies()

    @paint
    def work(ctx: Any) -> Any:
        bodies.append("body")
        yield ctx.step("one", bodies.body("one"))

    client = make_client(stage)
    with client:
        handle = client.enqueue("mail", "work", options=BOB)
        engine = stage.make_engine()
        engine.register("work", work, required_roles=["admin"])
        engine.register_queue(durust.WorkflowQueue("mail"))
        engine.launch()

        with pytest.raises(NotAuthorized) as refused:
            handle.get_result(PATIENCE)

    error = refused.value
    assert (error.workflow, error.user, error.roles, error.required) == ("work", "bob", ("guest",), ("admin",))
    assert (stage.row(handle).status, stage.row(handle).assumed_role, bodies) == (Status.ERROR, None, [])


@pytest.mark.covers(178, 191)
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_plain_sql_says_for_whom_a_workflow_runs(stage: Stage, paint: Paint, url: str) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        return tell(ctx)

    engine = launch(stage)
    engine.register("work", work, required_roles=["admin"])

    with psycopg.connect(url) as connection:
        [(ann,), (bob,)] = [
            connection.execute(ENQUEUE, {"user": user, "roles": roles}).fetchall()[0]
            for user, roles in (("ann", '["admin"]'), ("bob", "admin, and no JSON"))
        ]

    assert engine.retrieve_workflow(ann).get_result(PATIENCE) == ["ann", ["admin"], "admin"]
    with pytest.raises(NotAuthorized, match="'bob' has no role"):
        engine.retrieve_workflow(bob).get_result(PATIENCE)


def test_a_workflow_without_required_roles_knows_its_user_all_the_same(stage: Stage, paint: Paint) -> None:
    @paint
    def work(ctx: Any) -> Any:
        yield ctx.step("one", lambda: 1)
        return tell(ctx)

    engine = stage.launch(work)

    assert engine.start("work", options=ANN) == ["ann", ["guest", "admin"], None]
    assert engine.start("work") == [None, [], None]


def test_a_decorator_names_the_roles_and_a_text_is_refused() -> None:
    @durust.workflow(required_roles=["admin"])
    def guarded(ctx: Any) -> None:
        del ctx

    assert guarded.definition.required_roles == ("admin",)
    with pytest.raises(InvalidArgument, match="required_roles"):
        durust.workflow(required_roles="admin")(guarded.fn)
    with pytest.raises(InvalidArgument, match="a schedule has none"):
        durust.workflow(required_roles=["admin"], schedule="0 0 3 * * *")(guarded.fn)
