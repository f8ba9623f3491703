"""What a type checker is told of a workflow is what its user gets; `make types` reads the same lines."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

import pytest

import durust


@durust.workflow(name="types.now")
def now(ctx: durust.SyncDurableContext, number: int) -> str:
    return ctx.step("text", str, number)


@durust.workflow(name="types.later")
async def later(ctx: durust.DurableContext, number: int) -> str:
    return await ctx.step("text", lambda: str(number))


def test_a_workflow_of_either_colour_is_typed_by_its_result() -> None:
    with durust.DurableEngine("memory://") as engine:
        assert assert_type(engine.start(now, 7), str) == "7"
        assert assert_type(engine.start(later, 7), str) == "7"
        assert assert_type(engine.run_workflow(later, 8).get_result(), str) == "8"


def test_options_do_not_hide_the_result() -> None:
    queue = durust.WorkflowQueue("types")
    options = durust.WorkflowOptions(priority=1)
    with durust.DurableEngine("memory://") as engine:
        assert assert_type(engine.start(now, 7, options=options), str) == "7"
        assert assert_type(engine.run_workflow(later, 8, options=None).get_result(), str) == "8"
        assert assert_type(engine.enqueue(queue, now, 9).get_result(), str) == "9"
        assert assert_type(engine.enqueue(queue, later, 9, options=options).get_result(), str) == "9"
        assert assert_type(engine.start("types.now", 7, options=options), Any) == "7"
        assert assert_type(engine.enqueue(queue, "types.now", 9), durust.WorkflowHandle[Any]).get_result() == "9"


def test_the_awaiting_view_is_typed_alike() -> None:
    queue = durust.WorkflowQueue("types")
    options = durust.WorkflowOptions(priority=1)

    async def ask(engine: durust.AsyncDurableEngine) -> None:
        assert assert_type(await engine.start(now, 7), str) == "7"
        assert assert_type(await engine.start(later, 7, options=options), str) == "7"
        assert assert_type(await (await engine.run_workflow(now, 8)), str) == "8"
        assert assert_type(await (await engine.enqueue(queue, later, 9)), str) == "9"

    with durust.DurableEngine("memory://") as engine:
        asyncio.run(ask(engine.aio))


@durust.workflow(name="types.parent")
def parent(ctx: durust.SyncDurableContext, number: int) -> list[str]:
    handles = [ctx.start_workflow(now, number), ctx.start_workflow(later, number)]
    queued = ctx.enqueue("types", later, number, options=durust.WorkflowOptions())
    called: list[Any] = [assert_type(now(number), Any), assert_type(later(number), Any)]
    return [assert_type(handle, durust.SyncDurableHandle[str]).get_result() for handle in [*handles, queued]] + called


@durust.workflow(name="types.awaiting_parent")
async def awaiting_parent(ctx: durust.DurableContext, number: int) -> list[str]:
    handles = [await ctx.start_workflow(now, number), await ctx.start_workflow(later, number)]
    queued = await ctx.enqueue("types", now, number, options=durust.WorkflowOptions())
    called: list[Any] = [assert_type(await now(number), Any), assert_type(await later(number), Any)]
    return [assert_type(await handle, str) for handle in [*handles, queued]] + called


def test_the_handle_of_a_child_is_typed_by_its_result() -> None:
    # A direct call is awaited or not by the colour of its caller, which a type checker does not see.
    durust.WorkflowQueue("types")
    with durust.DurableEngine("memory://") as engine:
        assert assert_type(engine.start(parent, 7), list[str]) == ["7"] * 5
        assert assert_type(engine.start(awaiting_parent, 7), list[str]) == ["7"] * 5


def test_arguments_that_do_not_fit_are_an_error_of_the_type_checker_too() -> None:
    text: Any = "seven"
    with durust.DurableEngine("memory://") as engine:
        for wrong in (
            lambda: engine.start(now, "seven"),  # type: ignore[call-overload]
            lambda: engine.run_workflow(later, "seven"),  # type: ignore[call-overload]
            lambda: engine.enqueue(durust.WorkflowQueue("types"), now, "seven"),  # type: ignore[call-overload]
            lambda: engine.start(now, text),
        ):
            with pytest.raises(durust.SerializationError, match=r"argument 'number' of (now|later)"):
                wrong()
