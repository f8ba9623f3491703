"""An application on queues with limits, bounded in time and asked by a client: killed, it prints the same paper."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.examples.applications import newsroom
from tests.examples.fire import Fire, under_fire
from tests.support.processes import Spawn

# What one worker has in hand: five stories of three sources each, and what is laid out meanwhile.
IN_HAND_MAX = 5 * 3 + 3
# More than that, so that each life gets on, and less than half of the work, so that somebody dies.
NOTES_UNTIL_DEATH = 20
NUMBERS = range(1, newsroom.STORIES_EACH + 1)
STORIES = [f"{outlet}-{number}" for number in NUMBERS for outlet in newsroom.OUTLETS]
RETRACTED = [name for name in STORIES if name.endswith("-2")]
KEPT = [name for name in STORIES if name not in RETRACTED]
PRINTED = [
    "ordered",
    *(f"{name} Retracted nobody saw it" for name in RETRACTED),
    *(f"{name} {2 if name.endswith('-1') else 3} quotes" for name in KEPT),
    "the interview timed out",
    "True weather",
]
KINDS = {
    "fetch": 3 * len(STORIES),
    "retract": len(RETRACTED),
    "print": len(KEPT),
    "layout": len(KEPT),
    "front": 1,
}


def faults(fire: Fire) -> list[str]:
    """Return what the log holds that the kills do not explain."""
    counts = Counter(fire.work)
    kinds = Counter(line.split()[0] for line in counts)
    repeats = sum(counts.values()) - len(counts)
    editions = defaultdict(set)
    for line in counts:
        kind, name, *rest = line.split()
        if kind in {"print", "layout"}:
            editions[name].update(rest)
    return [
        *([] if kinds == KINDS else [f"{dict(kinds)} happened"]),
        *([] if repeats <= fire.kills * IN_HAND_MAX else [f"{repeats} repeats"]),
        *(f"{name} has {len(found)} editions" for name, found in editions.items() if len(found) != 1),
    ]


def test_a_paper_that_is_printed_under_fire_is_the_same(spawn: Spawn, tmp_path: Path, shared_url: str) -> None:
    fire = under_fire(spawn, tmp_path, shared_url, newsroom, NOTES_UNTIL_DEATH)

    assert fire.customer.stdout.splitlines() == PRINTED
    assert faults(fire) == []
    assert fire.kills > 0
    assert "Traceback" not in fire.supervisor.stderr


def test_the_judge_sees_an_edition_that_nobody_recorded(
    spawn: Spawn, tmp_path: Path, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "1")

    fire = under_fire(spawn, tmp_path, shared_url, newsroom, None)

    assert fire.customer.stdout.splitlines() == PRINTED
    # The body runs again after its sleep, and draws another one by then.
    assert sorted(faults(fire)) == sorted(f"{name} has 2 editions" for name in KEPT)
