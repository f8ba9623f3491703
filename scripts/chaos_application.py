"""What `scripts/chaos.py` runs: workflows of every kind of wait, whose step bodies write down when they begin."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import durust
from durust import DurableContext, SyncDurableContext, WorkflowQueue, clock

LIMIT = 3
limited = WorkflowQueue("limited", global_concurrency=LIMIT)
plain = WorkflowQueue("plain")


def note(workflow_id: str, place: int, given: str) -> str:
    """Write down, for good, that a body began with what the step before it made; return something new."""
    ledger = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, (json.dumps([workflow_id, place, given]) + "\n").encode())
        os.fsync(ledger)
    finally:
        os.close(ledger)
    return clock.random_token()


async def note_async(workflow_id: str, place: int, given: str) -> str:
    """Do the same, in a coroutine that takes a while."""
    made = note(workflow_id, place, given)
    await asyncio.sleep(0.02)
    return made


@durust.workflow
async def chain(ctx: DurableContext, length: int) -> list[str]:
    """Each step is given what the one before it made; between them are sleeps, some of which park."""
    made = [""]
    for place in range(length):
        body = note_async if place % 2 else note
        made.append(await ctx.step("note", body, ctx.workflow_id, place, made[-1]))
        await ctx.sleep(0.05 if place % 3 else 1.5)
    return made


@durust.workflow
def chain_in_thread(ctx: SyncDurableContext, length: int) -> list[str]:
    """Do the same in the other colour, without sleeps."""
    made = [""]
    for place in range(length):
        body: Any = note_async if place % 2 else note
        made.append(ctx.step("note", body, ctx.workflow_id, place, made[-1]))
    return made


@durust.workflow
async def receiver(ctx: DurableContext, length: int) -> list[int]:
    """Receive messages; then publish that it has."""
    received = [await ctx.recv("topic", type=int) for _ in range(length)]
    await ctx.set_event("received", length)
    return received


@durust.workflow
async def sender(ctx: DurableContext, receiver_id: str, length: int) -> int:
    """Send messages, and wait until they have come."""
    for number in range(length):
        await ctx.send(receiver_id, number, "topic")
        await ctx.sleep(0.1)
    came = None
    while came is None:
        came = await ctx.get_event(receiver_id, "received", timeout=5.0, type=int)
    return int(came)


@durust.workflow
async def parent(ctx: DurableContext, length: int) -> int:
    """Start children at once, with and without a limit, and wait for all of them."""
    children = [await ctx.enqueue(limited if number % 2 else plain, chain_in_thread, 2) for number in range(length)]
    return sum(len(made) for made in await asyncio.gather(*[child.get_result() for child in children]))


@durust.workflow
async def endless(ctx: DurableContext) -> None:
    """Go on until somebody cancels it, or its time is over."""
    place = 0
    while True:
        await ctx.step("note", note_async, ctx.workflow_id, place, "")
        await ctx.sleep(0.3)
        place += 1
