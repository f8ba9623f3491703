"""A process to be killed: its workflows note their steps in a ledger and, where `HOLD` is set, never end the second."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from durust import DurableContext, DurableEngine, Settings, SyncDurableContext, WorkflowOptions, WorkflowQueue

QUEUE = "recovering"
USER, ROLE = "ann", "clerk"
# Longer than any test takes: what is recovered is recovered because its process is gone.
LEASE_SECONDS = 600.0


def note(ledger: str, workflow: str, place: int) -> int:
    """Append a line to the ledger, on the disk before anything else happens."""
    fd = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{workflow} {place} {os.getpid()}\n".encode())
    os.fsync(fd)
    os.close(fd)
    return place


def hold(ledger: str, workflow: str, place: int) -> int:
    """Note the step; where `HOLD` is set it never ends."""
    note(ledger, workflow, place)
    if os.environ.get("HOLD"):
        threading.Event().wait()
    return place


def blocking(ctx: SyncDurableContext, ledger: str) -> list[int]:
    """Take three steps."""
    one = ctx.step("one", note, ledger, ctx.workflow_id, 0)
    two = ctx.step("two", hold, ledger, ctx.workflow_id, 1)
    three = ctx.step("three", note, ledger, ctx.workflow_id, 2)
    return [one, two, three]


async def awaiting(ctx: DurableContext, ledger: str) -> list[int]:
    """Take the same steps."""
    one = await ctx.step("one", note, ledger, ctx.workflow_id, 0)
    two = await ctx.step("two", hold, ledger, ctx.workflow_id, 1)
    three = await ctx.step("three", note, ledger, ctx.workflow_id, 2)
    return [one, two, three]


WORKFLOWS: dict[str, Callable[..., Any]] = {"blocking": blocking, "awaiting": awaiting}


def prepare(engine: DurableEngine, *, role: str = ROLE) -> DurableEngine:
    """Return the engine with this file's workflows, which demand *role*, and its queue."""
    for name, function in WORKFLOWS.items():
        engine.register(name, function, required_roles=[role])
    engine.register_queue(WorkflowQueue(QUEUE))
    return engine


def options(workflow_id: str) -> WorkflowOptions:
    """Return for whom a workflow is started."""
    return WorkflowOptions(workflow_id=workflow_id, authenticated_user=USER, authenticated_roles=["guest", ROLE])


def main(url: str, ledger: str) -> None:
    """Start one workflow of each colour directly and one on the queue, and wait for the end of the process."""
    engine = prepare(DurableEngine(url, settings=Settings(lease_seconds=LEASE_SECONDS)))
    engine.launch()
    for name in WORKFLOWS:
        engine.run_workflow(name, ledger, options=options(f"direct-{name}"))
        engine.enqueue(QUEUE, name, ledger, options=options(f"queued-{name}"))
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
