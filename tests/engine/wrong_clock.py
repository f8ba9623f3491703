"""A process whose calendar may be wrong: it runs what is queued and notes when, by the clock that counts since boot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from typing import Any

from durust import (
    DurableContext,
    DurableEngine,
    RateLimiter,
    ScheduledInput,
    Settings,
    SyncDurableContext,
    WorkflowOptions,
    WorkflowQueue,
    clock,
)

QUEUE, PACED = "clocks", "paced"
RATE = 2, 1.0
NAP_SECONDS, DOZE_SECONDS, DELAY_SECONDS = 0.3, 1.5, 1.5
LEASE_SECONDS, TIMEOUT_SECONDS = 2.0, 2.0
HOUR = 3600.0
SETTINGS = Settings(
    lease_seconds=LEASE_SECONDS,
    lease_margin_seconds=0.2,
    beat_seconds=0.3,
    sweep_seconds=0.3,
    idle_poll_seconds=0.1,
    park_after_seconds=0.5,
    drain_seconds=5.0,
)


def note(ledger: str, workflow: str, event: str) -> None:
    """Append when something happened, on the disk before anything else happens."""
    line = json.dumps([workflow, event, clock.boottime(), os.getpid()]) + "\n"
    sink = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(sink, line.encode())
    os.fsync(sink)
    os.close(sink)


def nap(ctx: SyncDurableContext, ledger: str) -> str:
    """Sleep with the stack kept, and say what time it is."""
    ctx.step("begin", note, ledger, ctx.workflow_id, "begin")
    ctx.sleep(NAP_SECONDS)
    ctx.step("end", note, ledger, ctx.workflow_id, "end")
    return ctx.now().isoformat()


async def doze(ctx: DurableContext, ledger: str) -> int:
    """Sleep parked, so that any process may go on."""
    await ctx.step("begin", note, ledger, ctx.workflow_id, "begin")
    await ctx.sleep(DOZE_SECONDS)
    await ctx.step("end", note, ledger, ctx.workflow_id, "end")
    return ctx.attempt


def early(ctx: SyncDurableContext, ledger: str) -> None:
    """Note when it begins."""
    ctx.step("begin", note, ledger, ctx.workflow_id, "begin")


async def bounded(ctx: DurableContext, ledger: str) -> None:
    """Work until the workflow's time is over."""

    async def work() -> None:
        note(ledger, ctx.workflow_id, "begin")
        try:
            await asyncio.sleep(HOUR)
        finally:
            note(ledger, ctx.workflow_id, "end")

    await ctx.step("work", work)


async def held(ctx: DurableContext, ledger: str) -> int:
    """Hold a process for longer than a lease lasts."""

    async def work() -> None:
        note(ledger, ctx.workflow_id, "begin")
        await asyncio.sleep(LEASE_SECONDS * 2)

    await ctx.step("work", work)
    return ctx.attempt


def paced(ctx: SyncDurableContext, ledger: str) -> None:
    """Note when it begins, on a queue with a rate."""
    ctx.step("begin", note, ledger, ctx.workflow_id, "begin")


def tick(ctx: SyncDurableContext, moment: ScheduledInput) -> None:
    """Note for which second it runs."""
    ctx.step("begin", note, moment.context, moment.scheduled_time.isoformat(), "tick")


# Nobody starts these by itself: the test queues them, or a schedule does.
OTHERS: dict[str, Any] = {"paced": paced, "tick": tick}
WORKFLOWS: dict[str, Any] = {"nap": nap, "doze": doze, "early": early, "bounded": bounded, "held": held}


def make_engine(url: str, queues: list[str] | None = None) -> DurableEngine:
    """Return an engine that knows this file's workflows."""
    engine = DurableEngine(url, settings=SETTINGS, queues=queues)
    for name, function in (WORKFLOWS | OTHERS).items():
        engine.register(name, function)
    engine.register_queue(WorkflowQueue(QUEUE))
    engine.register_queue(WorkflowQueue(PACED, rate_limiter=RateLimiter(*RATE)))
    return engine


def main(url: str, ledger: str, tag: str) -> None:
    """Start one of each here and one of each on the queue, then work until the process is ended."""
    with make_engine(url) as engine:
        for where in ("here", "queued"):
            for name in WORKFLOWS:
                workflow_id = f"{name}-{where}-{tag}"
                options = WorkflowOptions(
                    workflow_id=workflow_id,
                    delay=DELAY_SECONDS if name == "early" else 0,
                    # On SQLite a deadline is the host's calendar's to tell, and `held` is asked about leases there.
                    timeout={"bounded": TIMEOUT_SECONDS, "early": None, "held": None}.get(name, HOUR),
                )
                note(ledger, workflow_id, "start")
                if where == "here":
                    engine.run_workflow(name, ledger, options=options)
                else:
                    engine.enqueue(QUEUE, name, ledger, options=options)
        print("started", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
