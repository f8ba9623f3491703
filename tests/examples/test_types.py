"""What a type checker is told of a workflow is what its user gets; `make types` reads the same lines."""

from __future__ import annotations

from typing import assert_type

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
