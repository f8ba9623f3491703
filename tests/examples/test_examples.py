"""The short examples run, and what each of them claims about itself holds, on both databases."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Spawn

LINES_MAX = 60
# What a reader sees at the end.
EXAMPLES = {
    "approval": r"one granted by ada; the other: nobody answered",
    "dependencies": r"5 tasks, each built once, 4 one after the other",
    "saga": r"booked nothing, for hotel in Ulm is sold out",
    "subworkflow": r"3 chapters, each a workflow of its own",
    "cron": r"3 ticks, each of them once",
    "fan_out": r"40 pages, 780 words, never more than 3 pages at a time",
    "rate_limited": r"letter 15 left after (\d+)\.\d\d s",
    "stream": r"12 words, each of them once, from 2 workers",
    "timer": r"process (\d+) asked and was killed; process (\d+) reminded, \d+\.\d s later",
    "transfer": r"killed 3 times; alice has 60, bob has 40, and nothing is lost",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_says_what_came_of_it(spawn: Spawn, shared_url: str, tmp_path: Path, name: str) -> None:
    example = spawn(ROOT / "examples" / f"{name}.py", env={"DURUST_DATABASE_URL": shared_url}, cwd=tmp_path)

    assert (example.wait(), example.stderr) == (0, "")
    assert re.fullmatch(EXAMPLES[name], example.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")

    count = len(text.splitlines())
    assert count < LINES_MAX
    assert f"\n    python examples/{name}.py\n" in text


@pytest.mark.parametrize("name", ["dependencies", "fan_out"])
def test_an_example_that_was_killed_leaves_nothing_in_the_way_of_the_next_run(
    spawn: Spawn, tmp_path: Path, name: str
) -> None:
    env = {"DURUST_DATABASE_URL": f"sqlite:///{tmp_path}/durust.db"}
    killed = spawn(ROOT / "examples" / f"{name}.py", env={**env, "FAILPOINTS": "step.recorded=kill"}, cwd=tmp_path)
    assert killed.wait() == -signal.SIGKILL

    example = spawn(ROOT / "examples" / f"{name}.py", env=env, cwd=tmp_path)

    assert (example.wait(), example.stderr) == (0, "")
    assert re.fullmatch(EXAMPLES[name], example.stdout.splitlines()[-1])
