"""A harbour: ships on a few berths, customs that answer by message, and dues by event, run by `durust up`."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import durust
from durust import DurableContext, DurableEngine, SyncDurableContext, WorkflowOptions, WorkflowQueue

SHIPS = 8
BOXES = 5
HOT = 3

berths = WorkflowQueue("berths", global_concurrency=4)
office = WorkflowQueue("office")


class Contraband(Exception):
    """A box with something in it that should not be there."""

    def __init__(self, ship: str, box: int) -> None:
        super().__init__(f"box {box} of {ship}")
        self.ship, self.box = ship, box


@dataclass(frozen=True)
class Ship:
    name: str
    boxes: tuple[int, ...]
    is_honest: bool = True


@dataclass
class Manifest:
    ship: Ship
    tons: dict[str, Decimal] = field(default_factory=dict)
    seized: list[int] = field(default_factory=list)


def note(line: str) -> None:
    """Write down what was done to the world: one line that no crash takes back."""
    with Path("harbour.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {line}\n")
        log.flush()
        os.fsync(log.fileno())
    durust.failpoint("noted")


@durust.step
async def weigh(ship: str, box: int) -> Decimal:
    note(f"weigh {ship} {box}")
    await asyncio.sleep(0.02)
    return Decimal(box) / 4


@durust.step(max_retries=0)
def inspect(ship: Ship, box: int) -> None:
    note(f"inspect {ship.name} {box}")
    if box == HOT and not ship.is_honest:
        raise Contraband(ship.name, box)


@durust.workflow
def customs(ctx: SyncDurableContext, ship: str, box: int, answer_to: str) -> None:
    ctx.step("seize", note, f"seize {ship} {box}")
    ctx.sleep(1.2)
    ctx.send(answer_to, {"box": box, "fine": 100}, "customs")


@durust.workflow
async def unload(ctx: DurableContext, ship: Ship) -> Manifest:
    manifest = Manifest(ship)
    weights = await asyncio.gather(*(weigh(ship.name, box) for box in ship.boxes))
    manifest.tons = {str(box): tons for box, tons in zip(ship.boxes, weights, strict=True)}
    for box in ship.boxes:
        try:
            await ctx.step("inspect", inspect, ship, box)
        except Contraband as found:
            await ctx.start_workflow(customs, found.ship, found.box, ctx.workflow_id)
            verdict = await ctx.recv("customs", 60, type=dict)
            fine = f"fine {ship.name} {verdict['fine']}"
            if os.environ.get("PLANTED"):
                note(fine)
            else:
                await ctx.step("fine", note, fine)
            manifest.seized.append(verdict["box"])
    await ctx.sleep(1.2)
    await ctx.set_event("unloaded", len(ship.boxes) - len(manifest.seized))
    if not ship.boxes:
        raise Contraband(ship.name, 0)
    return manifest


@durust.workflow
def dues(ctx: SyncDurableContext, ship_ids: list[str]) -> int:
    boxes = [ctx.get_event(ship_id, "unloaded", 60, type=int) or 0 for ship_id in ship_ids]
    ctx.step("bill", note, f"bill {sum(boxes)}")
    return sum(boxes)


def main() -> None:
    """Let ships in, and print what the harbour's master would ask."""
    ships = [Ship(f"s{number}", tuple(range(1, BOXES + 1)), number % 2 == 0) for number in range(SHIPS)]
    with DurableEngine(sys.argv[1], queues=[]) as engine:
        handles = [
            engine.enqueue(berths, unload, ship, options=WorkflowOptions(workflow_id=f"unload-{ship.name}"))
            for ship in [*ships, Ship("ghost", ())]
        ]
        bill = engine.enqueue(office, dues, [handle.id for handle in handles])
        print("ordered", flush=True)
        for handle in handles[:-1]:
            manifest = handle.get_result(timeout=60)
            print(manifest.ship.name, sum(manifest.tons.values()), manifest.seized)
        try:
            handles[-1].get_result(timeout=60)
        except Contraband as empty:
            print("nothing in", empty.ship, empty.box)
        print("dues", bill.get_result(timeout=60))


if __name__ == "__main__":
    main()
