"""A shop that runs no workflow itself: it takes orders in its own transaction, and workers elsewhere pack them.

    python examples/client.py work      a worker, in one terminal: it migrates the database and waits for orders
    python examples/client.py shop      the shop, in another one: one order is taken back, one stays; prints the parcel

The order and the workflow that packs it are committed together, so there is never one without the other.
"""

import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import durust

PATH = Path(os.environ.get("CLIENT_FOLDER", Path(__file__).resolve().parent)) / "client.db"
URL = f"sqlite:///{PATH}"


@dataclass
class Parcel:
    customer: str
    items: list[str]


durust.WorkflowQueue("parcels")


@durust.workflow
def pack(ctx: durust.SyncDurableContext, customer: str, items: list[str]) -> Parcel:
    return Parcel(customer, ctx.step("sort", lambda: sorted(items)))


def work() -> None:
    with durust.DurableEngine(URL):
        print("at work", flush=True)
        sys.stdin.read()


def sell(shop: sqlite3.Connection, client: durust.DurableClient, customer: str, items: list[str]) -> str:
    shop.execute("insert into orders values (?)", [customer])
    return client.enqueue_in_transaction(shop, "parcels", "pack", customer, items).id


def main() -> None:
    with closing(sqlite3.connect(PATH)) as shop, durust.DurableClient(URL) as client:
        shop.execute("create table if not exists orders (customer text)")
        sell(shop, client, "bob", ["kite"])
        shop.rollback()  # neither his order nor his parcel was ever there
        parcel_id = sell(shop, client, "ada", ["tea", "cup"])
        shop.commit()
        print(client.retrieve_workflow(parcel_id, type=Parcel).get_result(timeout=60))
        print("orders:", shop.execute("select customer from orders").fetchall())


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
