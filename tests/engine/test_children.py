"""A workflow starts others in its body: their ids, their traits, their links, their results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableContext,
    DurableEngine,
    InvalidArgument,
    NotAuthorized,
    NotInWorkflow,
    QueueDeduplicated,
    QueueNotFound,
    StepDiverged,
    SyncDurableContext,
    WorkflowCancelled,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowNotRegistered,
    WorkflowOptions,
    WorkflowQueue,
    debounce,
)
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

PARENT = WorkflowOptions(workflow_id="parent")
IDLE = "idle"


def double(_ctx: SyncDurableContext, number: int) -> int:
    return 2 * number


async def double_async(_ctx: DurableContext, number: int) -> int:
    return 2 * number


def fail(_ctx: SyncDurableContext, word: str) -> None:
    raise ValueError(word)


def launch(stage: Stage, script: Callable[..., Any], **settings: Any) -> DurableEngine:
    """Launch an engine that knows the script and some children, and a queue from which nothing is taken."""
    WorkflowQueue(IDLE)
    engine = stage.launch(script, double, double_async, fail, **settings)
    engine.pause_queue(IDLE)
    return engine


def child(stage: Stage, place: int = 1) -> WorkflowRow:
    """Wait for the row of the child that was started at a place."""
    return eventually(lambda: stage.rows(workflow_ids=[f"parent-{place}"]))[0]


@pytest.mark.covers(18, 122, 125)
def test_a_child_is_started_and_its_result_awaited(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("double", 21)
        result = yield handle.get_result()
        return [handle.id, result]

    engine = launch(stage, paint(script))

    assert engine.start("script", options=PARENT) == ["parent-1", 42]
    row = child(stage)
    assert (row.parent_id, row.queue, row.status) == ("parent", INTERNAL_QUEUE, Status.SUCCESS)
    assert stage.names("parent") == {1: "double", 2: "DBOS.getResult"}
    assert stage.history("parent")[1].child_id == "parent-1"


@pytest.mark.covers(44, 122)
@pytest.mark.parametrize("called", [double, double_async])
def test_a_workflow_of_either_colour_is_called_in_one_of_either(
    stage: Stage, paint: Paint, called: Callable[..., Any]
) -> None:
    engine = stage.make_engine()
    callee = engine.register("callee", called)

    def script(_ctx: Any) -> Any:
        return [(yield callee(20)), (yield callee(21))]

    engine.register("script", paint(script))
    engine.launch()

    assert engine.start("script", options=PARENT) == [40, 42]
    assert [row.workflow_id for row in stage.rows(names=["callee"])] == ["parent-1", "parent-4"]


@pytest.mark.covers(17, 125)
def test_the_error_of_a_child_is_recorded_and_raised_with_its_type(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("fail", "bad")
        try:
            yield handle.get_result()
        except ValueError as error:
            return list(error.args)

    engine = launch(stage, paint(script))

    assert engine.start("script", options=PARENT) == ["bad"]
    assert "bad" in (stage.history("parent")[2].error or "")


@pytest.mark.covers(17)
def test_the_result_of_a_cancelled_child_is_an_error(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.enqueue(IDLE, "double", 1)
        try:
            yield handle.get_result()
        except WorkflowCancelled as error:
            return error.workflow_id

    engine = launch(stage, paint(script))
    handle = engine.run_workflow("script", options=PARENT)
    child(stage)

    engine.cancel_workflow("parent-1")

    assert handle.get_result(PATIENCE) == "parent-1"


@pytest.mark.covers(123)
def test_a_replay_finds_the_child_and_the_result_that_were_recorded(stage: Stage, paint: Paint) -> None:
    begun = []

    def count(_ctx: SyncDurableContext) -> int:
        begun.append(1)
        return len(begun)

    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("count")
        first = yield handle.get_result()
        yield ctx.sleep(0.5)
        return [handle.id, first]

    engine = stage.launch(paint(script), count)

    assert engine.start("script", options=PARENT) == ["parent-1", 1]
    assert begun == [1]


@pytest.mark.covers(61)
def test_parent_and_child_that_die_together_give_one_body_of_the_child_its_end(stage: Stage, paint: Paint) -> None:
    ends: list[str] = []
    gate = threading.Event()

    def hold(ctx: SyncDurableContext) -> str:
        ctx.step("before", ends.append, "before")
        ctx.step("hold", gate.wait)
        ctx.step("after", ends.append, "after")
        return ctx.workflow_id

    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("hold")
        return (yield handle.get_result())

    first = stage.launch(paint(script), hold)
    first.run_workflow("script", options=PARENT)
    eventually(lambda: 1 in stage.history("parent-1"))
    stage.crash(first)
    gate.set()
    second = stage.launch(paint(script), hold)

    assert second.retrieve_workflow("parent").get_result(PATIENCE) == "parent-1"
    assert ends == ["before", "after"]
    assert len(stage.rows(names=["hold"])) == 1


@pytest.mark.covers(122)
def test_a_child_has_the_id_that_it_is_given(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("double", 1, options=WorkflowOptions(workflow_id="mine"))
        again = yield ctx.start_workflow("double", 2, options=WorkflowOptions(workflow_id="mine"))
        return [handle.id, again.id, (yield again.get_result())]

    engine = launch(stage, paint(script))

    assert engine.start("script", options=PARENT) == ["mine", "mine", 2]
    assert [step.child_id for step in list(stage.history("parent").values())[:2]] == ["mine", "mine"]


@pytest.mark.covers(2, 85)
def test_an_id_of_another_workflow_is_a_conflict_that_is_recorded(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        try:
            yield ctx.start_workflow("double", 1, options=WorkflowOptions(workflow_id="parent"))
        except WorkflowConflict as error:
            yield ctx.sleep(0.5)
            return str(error)

    engine = launch(stage, paint(script))

    assert "taken" in engine.start("script", options=PARENT)
    assert stage.names("parent")[1] == "double"
    assert stage.history("parent")[1].error is not None


@pytest.mark.covers(85)
def test_a_refused_deduplication_id_is_recorded_and_replayed(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        options = WorkflowOptions(dedup_id="d")
        try:
            yield ctx.enqueue(IDLE, "double", 1, options=options)
        except QueueDeduplicated as error:
            # Parked: the next execution goes on from the record, though nobody holds the id any more.
            yield ctx.step("free", free)
            yield ctx.sleep(0.5)
            return [error.queue, error.dedup_id, error.holder_id]

    def free() -> None:
        engine.cancel_workflow("holder")

    engine = launch(stage, paint(script))
    engine.enqueue(IDLE, "double", 0, options=WorkflowOptions(workflow_id="holder", dedup_id="d"))

    assert engine.start("script", options=PARENT) == [IDLE, "d", "holder"]
    assert [row.workflow_id for row in stage.rows(names=["double"])] == ["holder"]


@pytest.mark.covers(84)
def test_a_start_answers_the_holder_of_the_deduplication_id_where_asked(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        options = WorkflowOptions(dedup_id="d", on_duplicate="return")
        handle = yield ctx.enqueue(IDLE, "double", 1, options=options)
        return handle.id

    engine = launch(stage, paint(script))
    engine.enqueue(IDLE, "double", 0, options=WorkflowOptions(workflow_id="holder", dedup_id="d"))

    assert engine.start("script", options=PARENT) == "holder"
    assert stage.history("parent")[1].child_id == "holder"


@pytest.mark.covers(84)
def test_a_start_does_not_answer_a_holder_of_another_name(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        options = WorkflowOptions(dedup_id="d", on_duplicate="return")
        try:
            yield ctx.enqueue(IDLE, "double", 1, options=options)
        except WorkflowConflict as error:
            return error.subject

    engine = launch(stage, paint(script))
    engine.enqueue(IDLE, "fail", "x", options=WorkflowOptions(dedup_id="d"))

    assert engine.start("script", options=PARENT) == "the deduplication id 'd'"


@pytest.mark.covers(96)
def test_a_queued_workflow_queues_another_one(stage: Stage, paint: Paint) -> None:
    def outer(ctx: Any) -> Any:
        handle = yield ctx.enqueue("work", "script", 1)
        return (yield handle.get_result())

    def script(ctx: Any, number: int) -> Any:
        handle = yield ctx.enqueue(WorkflowQueue("work"), "double", number)
        return [handle.id, (yield handle.get_result())]

    engine = launch(stage, paint(script))
    engine.register("outer", paint(outer))

    handle = engine.enqueue("work", "outer", options=PARENT) if declare("work") else None

    assert handle is not None
    assert handle.get_result(PATIENCE) == ["parent-1-1", 2]
    linked = {row.workflow_id: (row.parent_id, row.queue) for row in stage.rows()}
    assert linked == {
        "parent": (None, "work"),
        "parent-1": ("parent", "work"),
        "parent-1-1": ("parent-1", "work"),
    }


def declare(name: str) -> WorkflowQueue:
    """Declare a queue."""
    return WorkflowQueue(name)


@pytest.mark.covers(126)
def test_a_child_inherits_the_deadline_and_the_user_and_nothing_of_the_queue(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        yield ctx.enqueue(IDLE, "double", 1)
        later = WorkflowOptions(deadline=datetime.now(UTC) + timedelta(days=9), authenticated_user="bob")
        yield ctx.enqueue(IDLE, "double", 2, options=later)
        yield ctx.enqueue(IDLE, "double", 3, options=WorkflowOptions(inherits_deadline=False))
        yield ctx.enqueue(IDLE, "double", 4, options=WorkflowOptions(deadline=SOON, authenticated_roles=["guest"]))

    engine = launch(stage, paint(script))
    options = WorkflowOptions(
        workflow_id="parent",
        priority=7,
        dedup_id="d",
        timeout=3600,
        authenticated_user="ann",
        authenticated_roles=["admin"],
        attributes={"a": 1},
    )
    declare("work")

    engine.enqueue("work", "script", options=options).get_result(PATIENCE)

    plain, later, free, sooner = (child(stage, place) for place in (1, 2, 3, 4))
    parent = stage.row("parent")
    assert parent.deadline_ms is not None
    assert (plain.deadline_ms, plain.authenticated_user) == (parent.deadline_ms, "ann")
    assert plain.authenticated_roles == parent.authenticated_roles
    assert (plain.priority, plain.dedup_id, plain.attributes) == (0, None, None)
    assert (later.deadline_ms, later.authenticated_user) == (parent.deadline_ms, "bob")
    assert (free.deadline_ms, free.authenticated_user) == (None, "ann")
    assert sooner.deadline_ms == int(SOON.timestamp() * 1000)
    assert (sooner.authenticated_user, sooner.authenticated_roles) == ("ann", '["guest"]')


SOON = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.covers(87)
def test_the_timeout_of_a_child_ends_it_before_its_parents_deadline(stage: Stage, paint: Paint) -> None:
    async def endless(ctx: DurableContext) -> None:
        await ctx.sleep(3600)

    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("endless", options=WorkflowOptions(timeout=0.2))
        try:
            yield handle.get_result()
        except WorkflowCancelled as error:
            return type(error).__name__

    engine = stage.launch(paint(script), endless)

    assert engine.start("script", options=WorkflowOptions(timeout=3600)) == "WorkflowTimedOut"


@pytest.mark.covers(72)
def test_a_child_is_let_in_by_the_roles_of_its_parents_user(stage: Stage, paint: Paint) -> None:
    def secret(_ctx: SyncDurableContext) -> str:
        return "told"

    def script(ctx: Any) -> Any:
        try:
            handle = yield ctx.start_workflow("secret")
        except NotAuthorized:
            return "refused"
        return (yield handle.get_result())

    engine = stage.make_engine()
    engine.register("script", paint(script))
    engine.register("secret", secret, required_roles=["admin"])
    engine.launch()

    assert engine.start("script") == "refused"
    assert engine.start("script", options=WorkflowOptions(authenticated_roles=["admin"])) == "told"


@pytest.mark.covers(34)
def test_a_body_that_asks_for_another_child_is_stopped(stage: Stage, paint: Paint) -> None:
    asked = ["double"]

    def script(ctx: Any) -> Any:
        yield ctx.enqueue(IDLE, asked[0], 1)
        yield ctx.sleep(0.5)

    engine = launch(stage, paint(script))
    handle = engine.run_workflow("script", options=PARENT)
    eventually(lambda: stage.row("parent").status is Status.DELAYED)
    asked[0] = "double_async"

    with pytest.raises(StepDiverged) as caught:
        handle.get_result(PATIENCE)
    assert (caught.value.asked, caught.value.recorded) == ("double_async", "double")


@pytest.mark.covers(34)
def test_a_child_in_place_of_a_step_of_that_name_is_a_divergence(stage: Stage, paint: Paint) -> None:
    is_step = [True]

    def script(ctx: Any) -> Any:
        if is_step[0]:
            yield ctx.step("double", lambda: 2)
        else:
            yield ctx.enqueue(IDLE, "double", 1)
        yield ctx.sleep(0.5)

    engine = launch(stage, paint(script))
    handle = engine.run_workflow("script", options=PARENT)
    eventually(lambda: stage.row("parent").status is Status.DELAYED)
    is_step[0] = False

    with pytest.raises(StepDiverged, match="child double"):
        handle.get_result(PATIENCE)


@pytest.mark.covers(14, 96)
@pytest.mark.parametrize("way", ["start", "enqueue", "call", "engine", "handle"])
def test_a_step_starts_no_workflow_and_asks_no_handle(stage: Stage, paint: Paint, way: str) -> None:
    def script(ctx: Any) -> Any:
        handle = ctx.retrieve_workflow("parent")
        ways: dict[str, Callable[[], Any]] = {
            "start": lambda: ctx.start_workflow("double", 1),
            "enqueue": lambda: ctx.enqueue(IDLE, "double", 1),
            "call": lambda: engine.register("double", double)(1),
            "engine": lambda: engine.run_workflow("double", 1),
            "handle": handle.get_result,
        }
        try:
            yield ctx.step("step", ways[way])
        except (NotInWorkflow, InvalidArgument, TypeError) as error:
            return type(error).__name__

    engine = launch(stage, paint(script))

    told = engine.start("script", options=PARENT)

    expected = {"call": "TypeError", "engine": "InvalidArgument"}.get(way, "NotInWorkflow")
    assert told == expected
    assert stage.rows(names=["double"]) == []


@pytest.mark.covers(1)
def test_a_workflow_starts_no_other_one_through_the_engine(stage: Stage, paint: Paint) -> None:
    def script(_ctx: Any) -> Any:
        yield from ()
        engine.run_workflow("double", 1)

    engine = launch(stage, paint(script))

    with pytest.raises(InvalidArgument, match=r"ctx\.start_workflow"):
        engine.start("script")


def test_a_call_that_cannot_be_meant_takes_no_place(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        calls: list[tuple[type[Exception], Callable[[], Any]]] = [
            (WorkflowNotRegistered, lambda: ctx.start_workflow("nobody")),
            (TypeError, lambda: ctx.start_workflow("double")),
            (InvalidArgument, lambda: ctx.start_workflow("double", 1, options=5)),
            (InvalidArgument, lambda: ctx.start_workflow("double", 1, options=WorkflowOptions(dedup_id="d"))),
            (InvalidArgument, lambda: ctx.start_workflow("double", 1, options=WorkflowOptions(partition_key="p"))),
            (InvalidArgument, lambda: ctx.enqueue(IDLE, "double", 1, options=WorkflowOptions(partition_key="p"))),
            (InvalidArgument, lambda: ctx.enqueue("", "double", 1)),
            (InvalidArgument, lambda: ctx.start_workflow(debounce("double", "key", 1), 1)),
            (InvalidArgument, lambda: ctx.retrieve_workflow("")),
            (InvalidArgument, lambda: ctx.wait_first([])),
            (InvalidArgument, lambda: ctx.wait_first(["parent-1"])),
        ]
        for kind, call in calls:
            with pytest.raises(kind):
                call()
        handle = yield ctx.start_workflow("double", 1)
        return handle.id

    engine = launch(stage, paint(script))

    assert engine.start("script", options=PARENT) == "parent-1"


@pytest.mark.covers(90)
def test_a_queue_that_is_only_stored_takes_children_and_one_that_is_not_is_an_error(
    stage: Stage, client: DurableClient, paint: Paint
) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.enqueue("stored", "double", 1)
        try:
            yield ctx.enqueue("nowhere", "double", 1)
        except QueueNotFound as error:
            yield ctx.sleep(0.5)
            return [handle.id, error.name]

    engine = launch(stage, paint(script))
    client.set_queue("stored", worker_concurrency=1)

    assert engine.start("script", options=PARENT) == ["parent-1", "nowhere"]
    assert child(stage).queue == "stored"
    assert stage.history("parent")[2].error is not None


@pytest.mark.covers(6, 17)
def test_any_workflow_is_waited_for_by_its_id(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        missing = ctx.retrieve_workflow("nobody")
        known = ctx.retrieve_workflow("known", type=int)
        try:
            yield missing.get_result()
        except WorkflowNotFound as error:
            return [error.workflow_id, (yield known.get_result())]

    engine = launch(stage, paint(script))
    engine.start("double", 4, options=WorkflowOptions(workflow_id="known"))

    assert engine.start("script") == ["nobody", 8]


@pytest.mark.covers(15)
def test_handles_are_asked_in_any_order_and_again(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handles = []
        for number in range(4):
            handles.append((yield ctx.start_workflow("double", number)))  # noqa: PERF401  each is yielded
        results = []
        for handle in (*reversed(handles), handles[0]):
            results.append((yield handle.get_result()))  # noqa: PERF401  as above
        return results

    engine = launch(stage, paint(script))

    assert engine.start("script") == [6, 4, 2, 0, 0]


@pytest.mark.covers(16)
def test_the_first_of_several_children_is_recorded(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        slow = yield ctx.enqueue(IDLE, "double", 1)
        quick = yield ctx.start_workflow("double", 2)
        first = yield ctx.wait_first([slow, quick])
        yield ctx.step("free", engine.resume_queue, IDLE)
        yield slow.get_result()
        yield ctx.sleep(0.5)
        return [first.id, (yield first.get_result()), first is quick]

    engine = launch(stage, paint(script))

    assert engine.start("script", options=PARENT) == ["parent-2", 4, True]
    assert stage.names("parent")[3] == "DBOS.waitFirst"


@pytest.mark.covers(16)
def test_nobody_is_the_first_within_the_timeout(stage: Stage, paint: Paint) -> None:
    def script(ctx: Any) -> Any:
        handle = yield ctx.enqueue(IDLE, "double", 1)
        raised = []
        for race in (True, False):
            try:
                yield ctx.wait_first([handle], timeout=0.05) if race else handle.get_result(timeout=0.05)
            except TimeoutError as error:
                raised.append(str(error))
        yield ctx.sleep(0.5)
        return raised

    engine = launch(stage, paint(script))

    first, result = engine.start("script")
    assert ("none of 1" in first, "did not end" in result) == (True, True)


@pytest.mark.covers(40, 123)
def test_gathered_children_and_steps_replay_alike(stage: Stage) -> None:
    async def script(ctx: DurableContext) -> list[int]:
        results = await asyncio.gather(*(double_called(number) for number in range(3)), ctx.step("step", lambda: 9))
        await ctx.sleep(0.5)
        return list(results)

    engine = stage.make_engine()
    double_called = engine.register("double", double)
    engine.register("script", script)
    engine.launch()

    assert engine.start("script", options=PARENT) == [0, 2, 4, 9]
    assert [row.workflow_id for row in stage.rows(names=["double"])] == ["parent-1", "parent-4", "parent-7"]
    assert len(stage.names("parent")) == 3 + 3 + 1 + 1


@pytest.mark.covers(47)
@pytest.mark.parametrize("slots", [1, 2])
def test_children_that_await_children_starve_nobody(stage: Stage, paint: Paint, slots: int) -> None:
    def script(ctx: Any, depth: int) -> Any:
        if depth == 0:
            return 1
        handles = []
        for _ in range(2):
            handles.append((yield ctx.start_workflow("script", depth - 1)))  # noqa: PERF401  each is yielded
        total = 0
        for handle in handles:
            total += yield handle.get_result()
        return total

    engine = stage.launch(paint(script), slots=slots)

    assert engine.start("script", 3) == 8


@pytest.mark.covers(1)
def test_a_call_outside_of_a_run_is_refused(stage: Stage) -> None:
    engine = stage.make_engine()

    with pytest.raises(TypeError, match=r"engine\.start"):
        engine.register("double", double)(1)


def test_a_handle_works_only_in_the_body_that_made_it(stage: Stage, paint: Paint) -> None:
    kept: list[Any] = []

    def script(ctx: Any) -> Any:
        kept.append((yield ctx.start_workflow("double", 1)))

    engine = launch(stage, paint(script))
    engine.start("script", options=PARENT)

    assert repr(kept[0]).endswith("Handle('parent-1')")
    with pytest.raises(NotInWorkflow):
        kept[0].get_result()


@pytest.mark.covers(124)
def test_a_cancel_with_children_reaches_bodies_that_run(stage: Stage, client: DurableClient, paint: Paint) -> None:
    cut = threading.Event()

    async def hold(ctx: DurableContext) -> None:
        try:
            await ctx.step("hold", asyncio.Event().wait)
        except asyncio.CancelledError:
            cut.set()
            raise

    def script(ctx: Any, depth: int) -> Any:
        handle = yield ctx.start_workflow("script", depth - 1) if depth else ctx.start_workflow("hold")
        yield handle.get_result()

    engine = stage.launch(paint(script), hold)
    handle = engine.run_workflow("script", 2, options=PARENT)
    eventually(lambda: [row.status for row in stage.rows(names=["hold"])] == [Status.PENDING])

    client.cancel_workflow("parent", children=True)

    assert cut.wait(PATIENCE)
    with pytest.raises(WorkflowCancelled):
        handle.get_result(PATIENCE)
    assert {row.status for row in stage.rows()} == {Status.CANCELLED}
    assert len(stage.rows()) == 4


@pytest.mark.covers(124)
def test_the_awaiting_views_cancel_children_too(stage: Stage) -> None:
    def script(ctx: SyncDurableContext) -> None:
        ctx.enqueue(IDLE, "double", 1)
        ctx.enqueue(IDLE, "double", 2)

    engine = launch(stage, script)
    engine.start("script", options=PARENT)

    asyncio.run(engine.aio.cancel_workflow("parent-1"))
    asyncio.run(engine.aio.cancel_workflow(["parent", "nobody"], children=True))

    assert [row.status for row in stage.rows(names=["double"])] == [Status.CANCELLED] * 2


@pytest.mark.covers(126)
def test_a_timed_out_parent_takes_its_child_along(stage: Stage, paint: Paint) -> None:
    async def endless(ctx: DurableContext) -> None:
        await ctx.sleep(3600)

    def script(ctx: Any) -> Any:
        handle = yield ctx.start_workflow("endless")
        yield handle.get_result()

    engine = stage.launch(paint(script), endless)
    handle = engine.run_workflow("script", options=WorkflowOptions(workflow_id="parent", timeout=1.0))

    with pytest.raises(WorkflowCancelled):
        handle.get_result(PATIENCE)
    assert eventually(lambda: child(stage).status is Status.CANCELLED)
    assert child(stage).is_timed_out
