"""An application of messages, events, streams, children and transactions: killed, it sells each lot once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.applications import auction
from tests.examples.fire import under_fire
from tests.support.processes import Spawn

SLOTS = 8
# More than a worker has in hand, so that each life gets on, and less than half of the work, so that somebody dies.
NOTES_UNTIL_DEATH = 12
PRINTED = [
    "ordered",
    "chair to cy for 26 of 9 bids, 500",
    "clock to cy for 26 of 9 bids, 500",
    "mirror to cy for 27 of 9 bids, 600",
    "nobody bid on the stamp though 3 looked",
    "3 sales for 79",
    "9 bids on the clock were seen, the best 26",
]
KINDS = {"bid": 3 * auction.ROUNDS * len(auction.BIDDERS), "booked": 3, "appraise": len(auction.LOTS)}


def test_an_auction_under_fire_sells_each_lot_once(spawn: Spawn, tmp_path: Path, shared_url: str) -> None:
    fire = under_fire(spawn, tmp_path, shared_url, auction, NOTES_UNTIL_DEATH)

    assert fire.customer.stdout.splitlines() == PRINTED
    effects = Counter(fire.work)
    assert Counter(line.split()[0] for line in effects) == KINDS
    assert sum(effects.values()) - len(effects) <= fire.kills * SLOTS
    assert fire.kills > 0
    assert "Traceback" not in fire.supervisor.stderr


def test_the_judge_sees_a_lot_that_is_sold_twice(
    spawn: Spawn, tmp_path: Path, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "1")

    fire = under_fire(spawn, tmp_path, shared_url, auction, None)

    assert "6 sales for 158" in fire.customer.stdout
    assert fire.customer.stdout.splitlines() != PRINTED
