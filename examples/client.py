"""A shop that runs no workflow itself: it takes orders in its own transaction, and a worker elsewhere packs them.

    python examples/client.py

An order and the workflow that packs it are committed together. The worker is `python examples/client.py work`.
"""

import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

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


def main() -> None:
    with closing(sqlite3.connect(PATH)) as shop, durust.DurableClient(URL) as client:
        shop.execute("create table if not exists orders (customer text)")
        shop.execute("insert into orders values ('bob')")
        bob = client.enqueue_in_transaction(shop, "parcels", "pack", "bob", ["kite"])
        shop.rollback()  # neither his order nor his parcel was ever there
        shop.execute("insert into orders values ('ada')")
        ada = client.enqueue_in_transaction(shop, "parcels", "pack", "ada", ["tea", "cup"])
        shop.commit()
        print(client.retrieve_workflow(ada.id, type=Parcel).get_result(timeout=60))
        assert not client.list_workflows(durust.ListFilter(workflow_ids=[bob.id]))


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        with durust.DurableEngine(URL):
            print("at work", flush=True)
            sys.stdin.read()  # until the shop ends
    else:
        with Popen([sys.executable, __file__, "work"], stdin=PIPE, stdout=PIPE) as worker:
            os.read(worker.stdout.fileno(), 100)  # it has migrated the database
            main()
