"""An auction house: lots that receive bids, bidders that watch them, sales in the application's own table."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import durust
from durust import DurableClient, DurableContext, SyncDurableContext, WorkflowOptions, WorkflowQueue

LOTS = ("chair", "clock", "mirror", "stamp")
BIDDERS = {"ada": 3, "bob": 5, "cy": 7}
ROUNDS = 3

rooms = WorkflowQueue("rooms", worker_concurrency=6)


class NoBids(Exception):
    """A lot that nobody wants."""

    def __init__(self, lot: str, looked: int) -> None:
        super().__init__(f"nobody bid on the {lot}")
        self.lot, self.looked = lot, looked


@dataclass(frozen=True)
class Bid:
    bidder: str
    cents: int


@dataclass
class Sale:
    lot: str
    best: Bid
    bids: list[Bid]
    appraised: int


def note(line: str) -> None:
    """Write down what was done to the world: one line that no crash takes back."""
    with Path("auction.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {line}\n")
        log.flush()
        os.fsync(log.fileno())
    durust.failpoint("noted")


def book(connection: Any, lot: str, best: Bid) -> int:
    """Enter a sale into the application's own table: twice would be seen."""
    connection.execute(f"insert into sales values ('{lot}', '{best.bidder}', {best.cents})")
    note(f"booked {lot}")
    return best.cents


def open_books(connection: Any) -> None:
    connection.execute("create table if not exists sales (lot text, buyer text, cents integer)")


def takings(connection: Any) -> list[int]:
    """Return how many sales the books hold, and what they brought."""
    return list(connection.execute("select count(*), sum(cents) from sales").fetchone())


@durust.workflow
def appraise(ctx: SyncDurableContext, lot: str) -> int:
    ctx.sleep(0.2)
    ctx.step("appraise", note, f"appraise {lot}")
    return 100 * len(lot)


@durust.workflow
async def bidder(ctx: DurableContext, name: str, lot: str) -> int:
    opening = await ctx.get_event(lot, "opening", timeout=60, type=int)
    made = 0
    for turn in range(ROUNDS if lot != "stamp" else 0):
        await ctx.sleep(0.1 * BIDDERS[name] / 10)
        made = opening + BIDDERS[name] * (turn + 1)
        await ctx.step(f"think {turn}", note, f"bid {lot} {name} {made}")
        await ctx.send(lot, Bid(name, made), topic="bids", idempotency_key=f"{name}-{turn}")
    await ctx.send(lot, name, topic="leaving")
    return made


@durust.workflow
async def sell(ctx: DurableContext, lot: str) -> Sale:
    appraisal = await ctx.start_workflow(appraise, lot)
    watching = [await ctx.start_workflow(bidder, name, lot) for name in BIDDERS]
    await ctx.set_event("opening", len(lot))
    bids: list[Bid] = []
    for _ in range(ROUNDS * len(BIDDERS) if lot != "stamp" else 0):
        bid = await ctx.recv("bids", timeout=60, type=Bid)
        bids.append(bid)
        await ctx.write_stream("bids", bid)
    await ctx.close_stream("bids")
    leaving = [await ctx.recv("leaving", timeout=60, type=str) for _ in BIDDERS]
    if not bids:
        raise NoBids(lot, len(leaving))
    *offers, appraised = await asyncio.gather(*(one.get_result() for one in (*watching, appraisal)))
    best = max(bids, key=lambda bid: bid.cents)
    assert best.cents == max(offers)
    for _ in range(2 if os.environ.get("PLANTED") else 1):
        await ctx.transaction(book, lot, best)
    return Sale(lot, best, bids, appraised)


@durust.workflow
def hall(ctx: SyncDurableContext, lots: list[str]) -> list[str]:
    """Sell all lots at once, and tell what the first one that is over fetched."""
    ctx.transaction(open_books)
    handles = [ctx.start_workflow(sell, lot, options=WorkflowOptions(workflow_id=lot)) for lot in lots]
    ctx.wait_first(handles)
    told = []
    for lot, handle in zip(lots, handles, strict=True):
        try:
            sale = handle.get_result()
            told.append(f"{lot} to {sale.best.bidder} for {sale.best.cents} of {len(sale.bids)} bids, {sale.appraised}")
        except NoBids as nobody:
            told.append(f"{nobody} though {nobody.looked} looked")
    sales, cents = ctx.transaction(takings)
    return [*told, f"{sales} sales for {cents}"]


def main() -> None:
    with DurableClient(sys.argv[1]) as client:
        handle = client.enqueue(rooms, "hall", list(LOTS), options=WorkflowOptions(workflow_id="hall"))
        print("ordered", flush=True)
        assert client.get_event("clock", "opening", timeout=60) == len("clock")
        seen = [Bid(**bid) for bid in client.read_stream("clock", "bids", timeout=60)]
        for line in handle.get_result(90):
            print(line)
        print(len(seen), "bids on the clock were seen, the best", max(bid.cents for bid in seen))


if __name__ == "__main__":
    main()
