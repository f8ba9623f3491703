"""An application of both colours in a folder of its own: killed again and again, it charges everybody once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.examples.applications import bakery
from tests.examples.fire import under_fire
from tests.support.processes import Spawn

# Each kill happens when this many lines stand in the log, so that it falls into the middle of the work.
KILLS_AT = (15, 40)
# What one worker has in hand: a gather of four loaves in each of its six orders, and a closing of the shop.
IN_HAND_MAX = 6 * 4 + 2


def test_an_application_of_both_colours_outlives_its_workers(spawn: Spawn, tmp_path: Path, shared_url: str) -> None:
    fire = under_fire(spawn, tmp_path, shared_url, bakery, "bakery.log", KILLS_AT)

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
    assert sum(counts.values()) - len(counts) <= len(KILLS_AT) * IN_HAND_MAX
    assert fire.supervisor.stderr.count("was killed by SIGKILL") == len(KILLS_AT)
    assert "handed back" in fire.supervisor.stderr
    assert "Traceback" not in fire.supervisor.stderr
