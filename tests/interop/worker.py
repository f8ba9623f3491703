"""A program of durust's, started with the address of a database, whose workflows the official client steers."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import durust
from durust import DurableContext, DurableEngine, SyncDurableContext, WorkflowQueue, clock
from tests.support.waiting import eventually

orders = WorkflowQueue("orders")


@dataclass
class Order:
    id: str
    total: Decimal
    at: datetime


@dataclass
class Receipt:
    id: str
    total: Decimal
    year: int


class Declined(Exception):
    def __init__(self, card: str) -> None:
        super().__init__(f"card {card} was declined")
        self.card = card
        self.code = "card_declined"
        self.data = {"card": card}


@durust.workflow
def add(ctx: SyncDurableContext, one: int, other: int = 0) -> int:
    return ctx.step("add", lambda: one + other, type=int)


@durust.workflow
async def greet(ctx: DurableContext, name: str, *, mark: str = "!") -> str:
    return await ctx.step("greet", lambda: f"Hello {name}{mark}", type=str)


@durust.workflow
def speak(ctx: SyncDurableContext, text: str) -> dict[str, str]:
    return {"text": ctx.step("speak", lambda: f"{text} \0 \ud800", type=str)}


@durust.workflow
def sell(ctx: SyncDurableContext, order: Order) -> Receipt:
    return Receipt(order.id, order.total * 2, order.at.year)


@durust.workflow
def refuse(ctx: SyncDurableContext, card: str) -> None:
    def charge() -> None:
        raise Declined(card)

    ctx.step("charge", charge)


@durust.workflow
def draw(ctx: SyncDurableContext, count: int) -> list[str]:
    """Draw another token in each step, so that a step which runs again shows."""
    return [ctx.step(f"draw {number}", clock.random_token, type=str) for number in range(1, count + 1)]


@durust.workflow
async def hear(ctx: DurableContext, count: int) -> list[Any]:
    """Wait for messages, long enough to be parked."""
    return [await ctx.recv("control", timeout=60) for _ in range(count)]


@durust.workflow
def tell(ctx: SyncDurableContext, destination: str, message: Any) -> None:
    ctx.send(destination, message, "control")


@durust.workflow
def publish(ctx: SyncDurableContext, count: int) -> None:
    """Tell how far it is by an event, and each number in a stream."""
    for number in range(1, count + 1):
        ctx.set_event("progress", {"done": number})
        ctx.write_stream("numbers", number)
    ctx.close_stream("numbers")


@durust.workflow
async def watch(ctx: DurableContext, workflow_id: str) -> list[Any]:
    """Wait for an event of a workflow, and for the end of its stream."""
    progress = await ctx.get_event(workflow_id, "progress", timeout=60)
    return [progress, [value async for value in ctx.read_stream(workflow_id, "numbers")]]


@durust.workflow
async def nap(ctx: DurableContext, seconds: float) -> str:
    """Sleep long enough to be parked."""
    await ctx.sleep(seconds)
    return "awake"


@durust.workflow
async def family(ctx: DurableContext, seconds: float) -> str:
    child = await ctx.start_workflow(nap, seconds)
    return f"{await child} too"


@durust.workflow
def hold(ctx: SyncDurableContext, folder: str) -> str:
    """Be inside a step, as the file `begun` says, until somebody makes the file `released`."""

    def wait() -> str:
        (Path(folder) / "begun").touch()
        eventually((Path(folder) / "released").exists)
        return "released"

    return ctx.step("wait", wait, type=str)


if __name__ == "__main__":
    # Before there are threads that would take the signal and end of it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with DurableEngine(sys.argv[1]):
        print("launched")
        signal.sigwait({signal.SIGTERM})
