"""An application whose workflows race, time and gather their steps: killed again and again, it sees the same sky."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.applications import observatory
from tests.examples.fire import Fire, under_fire
from tests.support.processes import Spawn

# What one worker has in hand: four nights of four exposures each, and a counting.
IN_HAND_MAX = 4 * 4 + 1
# More than that, so that each life gets on, and less than half of the work, so that somebody dies.
NOTES_UNTIL_DEATH = 25
STATIONS = 2
DAYS = range(1, observatory.NIGHTS + 1)
CLOUDED = [day for day in DAYS if day % observatory.CLOUDED_EVERY == 0]
CLEAR = [day for day in DAYS if day not in CLOUDED]
PRINTED = [
    "ordered",
    *(
        f"2026-03-{day:02} Clouded 0.9 True" if day in CLOUDED else f"2026-03-{day:02} ['ceres'] {6 * day} True"
        for day in DAYS
    ),
]
KINDS = {
    "ask": len(DAYS) * STATIONS,
    "close": len(CLOUDED),
    "expose": len(CLEAR) * len(observatory.TARGETS),
    "late": len(CLEAR),
    "count": len(CLEAR),
}


def faults(fire: Fire) -> list[str]:
    """Return what the log holds that the kills do not explain."""
    counts = Counter(fire.work)
    kinds = Counter(line.split()[0] for line in counts)
    repeats = sum(counts.values()) - len(counts)
    return [
        *([] if kinds == KINDS else [f"{kinds} happened"]),
        *([] if repeats <= fire.kills * IN_HAND_MAX else [f"{repeats} repeats"]),
    ]


def test_races_and_timeouts_end_as_they_began(spawn: Spawn, tmp_path: Path, shared_url: str) -> None:
    fire = under_fire(spawn, tmp_path, shared_url, observatory, NOTES_UNTIL_DEATH)

    assert fire.customer.stdout.splitlines() == PRINTED
    assert faults(fire) == []
    assert fire.kills > 0
    assert "Traceback" not in fire.supervisor.stderr


def test_the_judge_sees_an_effect_that_is_no_step(
    spawn: Spawn, tmp_path: Path, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "1")

    fire = under_fire(spawn, tmp_path, shared_url, observatory, None)

    assert fire.customer.stdout.splitlines() == PRINTED
    assert faults(fire) == [f"{len(CLEAR)} repeats"]
