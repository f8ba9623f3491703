"""An application whose workflows wait for each other by message and by event: its workers die, and their supervisor."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.applications import harbour
from tests.examples.fire import Fire, under_fire
from tests.support.processes import Spawn

# What one worker has in hand: a gather on each berth, two seizures beside it and the bill.
IN_HAND_MAX = 4 * harbour.BOXES + 3
# More than that, so that each life gets on, and less than half of the work, so that somebody dies.
NOTES_UNTIL_DEATH = 25
# By then everything is under way and nothing has ended.
NOTES_UNTIL_THE_SUPERVISOR_DIES = 15
CROOKED = harbour.SHIPS // 2
TONS = sum(range(1, harbour.BOXES + 1)) / 4
PRINTED = [
    "ordered",
    *(f"s{number} {TONS} {[harbour.HOT] if number % 2 else []}" for number in range(harbour.SHIPS)),
    "nothing in ghost 0",
    f"dues {harbour.SHIPS * harbour.BOXES - CROOKED}",
]
KINDS = {
    "weigh": harbour.SHIPS * harbour.BOXES,
    "inspect": harbour.SHIPS * harbour.BOXES,
    "seize": CROOKED,
    "fine": CROOKED,
    "bill": 1,
}


def faults(fire: Fire) -> list[str]:
    """Return what the log holds that the kills do not explain."""
    counts = Counter(fire.work)
    kinds = Counter(line.split()[0] for line in counts)
    repeats = sum(counts.values()) - len(counts)
    return [
        *([] if kinds == KINDS else [f"{dict(kinds)} happened"]),
        *([] if repeats <= fire.kills * IN_HAND_MAX else [f"{repeats} repeats"]),
    ]


def test_ships_are_unloaded_once_though_workers_and_their_supervisor_die(
    spawn: Spawn, tmp_path: Path, shared_url: str
) -> None:
    fire = under_fire(
        spawn, tmp_path, shared_url, harbour, NOTES_UNTIL_DEATH, supervisor_dies_at=NOTES_UNTIL_THE_SUPERVISOR_DIES
    )

    assert fire.customer.stdout.splitlines() == PRINTED
    assert faults(fire) == []
    assert fire.kills > 2
    assert "took over" in fire.supervisor.stderr
    assert "Traceback" not in fire.supervisor.stderr


def test_an_effect_outside_of_a_step_is_found(spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "1")

    fire = under_fire(spawn, tmp_path, f"sqlite:///{tmp_path}/durust.db", harbour, None)

    # Each fine is written once more when its ship, which slept after it, goes on.
    assert faults(fire) == [f"{CROOKED} repeats"]
