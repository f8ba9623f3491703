"""The crash story: however often this program dies, the order is charged once and shipped once.

    FAILPOINTS=after_charge=return python examples/order.py     charges, and exits with an error
    python examples/order.py                                    resumes behind the charge, ships, prints the receipt
    python examples/order.py                                    prints the same receipt and does nothing

With `after_charge=kill` the first run is killed instead. `order.ledger` shows what was done to the world, and when.
"""

import os
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import durust

FOLDER = Path(os.environ.get("ORDER_FOLDER", Path(__file__).resolve().parent))


@dataclass
class Order:
    id: str
    cents: int


@dataclass
class Receipt:
    order: Order
    charge: str
    shipment: str


def touch_the_world(what: str, order: Order) -> str:
    """Stand for a call to somebody else's service: one line in a file that no crash takes back."""
    reference = f"{what}-{secrets.token_hex(4)}"
    with (FOLDER / "order.ledger").open("a") as ledger:
        ledger.write(f"{datetime.now(UTC).isoformat()} {order.id} {reference}\n")
        ledger.flush()
        os.fsync(ledger.fileno())
    return reference


@durust.workflow
def process_order(ctx: durust.SyncDurableContext, order: Order) -> Receipt:
    charge = ctx.step("charge", touch_the_world, "charge", order)
    if durust.failpoint("after_charge"):
        print("the power fails right after the charge", file=sys.stderr)
        os._exit(1)
    shipment = ctx.step("ship", touch_the_world, "shipment", order)
    return Receipt(order, charge, shipment)


if __name__ == "__main__":
    with durust.DurableEngine(os.environ.get("DATABASE_URL") or f"sqlite:///{FOLDER / 'order.db'}") as engine:
        options = durust.WorkflowOptions(workflow_id="order-1")
        print(engine.start(process_order, Order("order-1", 1999), options=options))
