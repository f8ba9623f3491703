"""An application with an engine of its own."""

from __future__ import annotations

from durust import DurableEngine, SyncDurableContext

engine = DurableEngine("sqlite:///never-opened.db", app_name="engined", slots=2)
not_an_engine = "engine"


def hello(ctx: SyncDurableContext) -> str:
    return "hello"


engine.register("hello", hello)
