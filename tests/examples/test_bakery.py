"""An application of both colours in a folder of its own: killed again and again, it charges everybody once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.examples.applications import bakery
from tests.examples.fire import under_fire
from tests.support.processes import Spawn

# What one worker has in hand: a gather of four loaves in each of its six orders, and a closing of the shop.
IN_HAND_MAX = 6 * 4 + 2
# More than that, so that each life gets on, and less than half of the work, so that somebody dies.
NOTES_UNTIL_DEATH = 40


def test_an_application_of_both_colours_outlives_its_workers(spawn: Spawn, tmp_path: Path, shared_url: str) -> None:
    fire = under_fire(spawn, tmp_path, shared_url, bakery, NOTES_UNTIL_DEATH)

    loaves = sum(min(3 + number % 3, bakery.FLOUR[bakery.Grain.RYE]) + 2 for number in range(bakery.CUSTOMERS))
    assert fire.customer.stdout.splitlines() == [
        "ordered",
        f"total {loaves * 310 / 100:.2f}",
        "whole True",
        "counts {'c0': 5, 'c1': 6, 'c2': 7}",
        "friday RYE 1 0",
    ]
    counts = Counter(fire.work)
    assert len([line for line in counts if line.startswith("bake c")]) == loaves
    assert len([line for line in counts if line.startswith("charge")]) == bakery.CUSTOMERS
    assert sum(counts.values()) - len(counts) <= fire.kills * IN_HAND_MAX
    assert fire.kills > 0
    assert "handed back" in fire.supervisor.stderr
    assert "Traceback" not in fire.supervisor.stderr
