"""A bakery: an application as a user might write it, of both colours, run by `durust up` from its own folder."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID, uuid4

import durust
from durust import DurableContext, DurableEngine, StepOptions, SyncDurableContext, WorkflowOptions, WorkflowQueue

CUSTOMERS = 12
FRIDAY = "friday"


class Grain(Enum):
    """What a loaf is made of."""

    RYE = "rye"
    WHEAT = "wheat"


class OutOfFlour(Exception):
    """There is less than was asked for."""

    def __init__(self, grain: Grain, wanted: int, left: int) -> None:
        super().__init__(f"{wanted} of {grain.value} wanted, {left} left")
        self.grain, self.wanted, self.left = grain, wanted, left


@dataclass(frozen=True)
class Loaf:
    """One loaf, priced to the cent."""

    id: UUID
    grain: Grain
    baked_at: datetime
    price: Decimal


@dataclass
class Order:
    """What a customer wants."""

    customer: str
    wants: dict[Grain, int]
    tags: tuple[str, ...] = ()
    patience: timedelta = timedelta(hours=1)


@dataclass
class Invoice:
    """What was baked for an order, and what it costs."""

    order: Order
    loaves: list[Loaf] = field(default_factory=list)
    total: Decimal = Decimal(0)


ovens = WorkflowQueue("ovens", worker_concurrency=6)
shop = WorkflowQueue("shop")
FLOUR = {Grain.RYE: 4, Grain.WHEAT: 100}


def note(line: str) -> None:
    """Write down what was done to the world: one line that no crash takes back."""
    with Path("bakery.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {line}\n")
        log.flush()
        os.fsync(log.fileno())
    durust.failpoint("noted")


@durust.step(max_retries=2, base_interval=0.05)
async def bake(customer: str, grain: Grain, number: int) -> Loaf:
    """Bake one loaf."""
    note(f"bake {customer} {grain.value} {number}")
    await asyncio.sleep(0.05)
    return Loaf(uuid4(), grain, datetime.now(UTC), Decimal("3.10"))


@durust.step
def fetch_flour(customer: str, grain: Grain, wanted: int) -> int:
    """Fetch flour, or say how much is left."""
    note(f"flour {customer} {grain.value}")
    if wanted > FLOUR[grain]:
        raise OutOfFlour(grain, wanted, FLOUR[grain])
    return wanted


@durust.workflow
async def fill_order(ctx: DurableContext, order: Order) -> Invoice:
    """Bake everything an order wants, several loaves at a time, and charge it once."""
    invoice = Invoice(order)
    for grain, count in order.wants.items():
        try:
            got = await ctx.step(f"flour-{grain.value}", fetch_flour, order.customer, grain, count)
        except OutOfFlour as lack:
            got = lack.left
        invoice.loaves += await asyncio.gather(*(bake(order.customer, grain, number) for number in range(got)))
    await ctx.sleep(1.5)
    invoice.total = sum((loaf.price for loaf in invoice.loaves), Decimal(0))
    await ctx.step("charge", lambda: note(f"charge {order.customer} {invoice.total}"))
    return invoice


@durust.workflow(name="close-shop")
def close_shop(ctx: SyncDurableContext, day: str, orders: list[Order]) -> dict[str, int]:
    """Count the day's loaves; fridays end badly."""
    counts: dict[str, int] = {}
    for order in orders:
        count = ctx.step_with(StepOptions(max_retries=1), "count", lambda order=order: sum(order.wants.values()))
        counts[order.customer] = count
        ctx.sleep(0.2)
    last = bake("shop", Grain.RYE, len(counts))
    ctx.step("sweep", note, f"closed {day} {type(last).__name__}")
    if day == FRIDAY:
        raise OutOfFlour(Grain.RYE, 1, 0)
    return counts


def main() -> None:
    """Order, wait, and print what a customer would ask."""
    orders = [
        Order(f"c{number}", {Grain.RYE: 3 + number % 3, Grain.WHEAT: 2}, ("a", "b")) for number in range(CUSTOMERS)
    ]
    # No queues of its own: the workers bake.
    with DurableEngine(sys.argv[1], queues=[]) as engine:
        filled = [
            engine.enqueue("ovens", fill_order, order, options=WorkflowOptions(workflow_id=order.customer))
            for order in orders
        ]
        closed = [engine.enqueue("shop", close_shop, day, orders[:3]) for day in ("monday", FRIDAY)]
        print("ordered")
        invoices = [handle.get_result(60) for handle in filled]
        print("total", sum((invoice.total for invoice in invoices), Decimal(0)))
        print("whole", all(invoice.order == order for invoice, order in zip(invoices, orders, strict=True)))
        print("counts", closed[0].get_result(60))
        try:
            closed[1].get_result(60)
        except OutOfFlour as lack:
            print("friday", lack.grain.name, lack.wanted, lack.left)


if __name__ == "__main__":
    main()
