"""An application that launches its engine on being imported."""

from __future__ import annotations

from durust import DurableEngine, SyncDurableContext, workflow


@workflow(name="launched.hello")
def hello(ctx: SyncDurableContext) -> str:
    return "hello"


engine = DurableEngine("memory://")
engine.launch()
