"""The look at the end of a wait: what cuts it short is recorded like what cuts the wait."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from durust import DurableContext
from durust.model.waits import Awaited
from durust.routines.replay import TIMEOUT_NAME
from tests.engine.stage import PATIENCE, Stage, parts


def test_a_last_look_that_is_cut_short_is_recorded(stage: Stage) -> None:
    looks, looked = threading.Event(), threading.Event()

    async def waiter(ctx: DurableContext) -> str:
        try:
            await asyncio.wait_for(ctx.recv(timeout=0.3), 0.6)
        except TimeoutError:
            await ctx.step("give up", lambda: None)
            return "cut"
        return "received"

    engine = stage.launch(waiter, park_after_seconds=3600.0)
    ground: Any = parts(engine).runner.ground
    look = ground.look

    def slowly(what: Any) -> dict[Awaited, Any]:
        looks.set()
        looked.wait(PATIENCE)
        return dict(look(what))

    ground.look = slowly
    handle = engine.run_workflow("waiter")
    assert looks.wait(PATIENCE)
    try:
        assert handle.get_result(PATIENCE) == "cut"
    finally:
        looked.set()

    assert stage.names(handle) == {1: "DBOS.recv", 2: TIMEOUT_NAME, 3: "give up"}
