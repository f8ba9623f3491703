"""A workflow that publishes what a test tells it to, when the test tells it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from durust import DurableEngine, SyncDurableContext, WorkflowHandle, WorkflowOptions
from tests.engine.stage import PATIENCE, Stage, parts

Order = tuple[str, Any]
ORDERS: dict[str, queue.Queue[Order | None]] = {}


def publish(ctx: SyncDurableContext) -> str:
    """Carry out one order after the other, until there is none."""
    while (
        order := ctx.step("order", lambda: ORDERS[ctx.workflow_id].get(timeout=PATIENCE), type=Order | None)
    ) is not None:
        kind, value = order
        match kind:
            case "event":
                ctx.set_event("progress", value)
            case "stream":
                ctx.write_stream("words", value)
            case "close":
                ctx.close_stream("words")
            case "fail":
                raise ValueError(value)
    return "published"


class Publisher:
    """The workflow under the test's orders."""

    def __init__(self, engine: DurableEngine, workflow_id: str) -> None:
        self.id = workflow_id
        self.engine = engine
        ORDERS[workflow_id] = queue.Queue()
        self.handle: WorkflowHandle[Any] = engine.run_workflow(
            "publish", options=WorkflowOptions(workflow_id=workflow_id)
        )

    def set(self, value: Any) -> None:
        """Have an event set."""
        ORDERS[self.id].put(("event", value))

    def write(self, *values: Any) -> None:
        """Have values written to the stream."""
        for value in values:
            ORDERS[self.id].put(("stream", value))

    def close(self) -> None:
        """Have the stream closed."""
        ORDERS[self.id].put(("close", None))

    def fail(self) -> None:
        """Let the workflow fail."""
        ORDERS[self.id].put(("fail", "it broke"))

    def end(self) -> None:
        """Let the workflow end, and wait until it has."""
        ORDERS[self.id].put(None)
        self.handle.get_result(PATIENCE)


def make_publisher(stage: Stage, workflow_id: str = "publisher", **settings: Any) -> Publisher:
    """Start the workflow in an engine of its own."""
    return Publisher(stage.launch(publish, **settings), workflow_id)


@contextmanager
def dismissed() -> Iterator[None]:
    """Let every publisher end after the test, so that no thread is left."""
    ORDERS.clear()
    yield
    for orders in ORDERS.values():
        orders.put(None)


def watched(engine: DurableEngine) -> bool:
    """Tell whether somebody waits for something in an engine."""
    return parts(engine).watcher.is_watched()
