"""Plays a scenario with real processes on a database of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.databases import Database, Source
from tests.crash.ledger import Ledger, faults
from tests.crash.matrix import ROOT
from tests.crash.scenarios import TRANSACTIONS, Part, Scenario

STEPS = (1, 2, 3)
# Far more than a process takes to run three steps on a busy machine; one that hangs is killed and fails its case.
PART_SECONDS_MAX = 60.0
# Short rhythms, so that what waits for one does not wait long.
RHYTHMS = {
    "DURUST_SWEEP_SECONDS": "0.2",
    "DURUST_IDLE_POLL_SECONDS": "0.1",
    "DURUST_PARK_AFTER_SECONDS": "0.05",
}


class Stage:
    """One case: a database, a ledger, and the processes that come and go."""

    def __init__(self, database: Database, colour: str, folder: Path, make: Callable[[], Database]) -> None:
        self.database, self._colour, self._folder, self._make = database, colour, folder, make
        self.application: Database | None = None
        """Where the functions of transactions write, if there are any."""
        self.ledger = Ledger(folder / "ledger")
        self.result: list[str] = []
        self._printed = self._said = ""

    def prepare(self, scenario: Scenario) -> None:
        """Let happen what comes before the victim."""
        if scenario.kind in TRANSACTIONS:
            self.application = self.database if scenario.kind == "transaction" else self._make()
            self.application.make_lines()
        for part in scenario.before:
            code = self._play(part, scenario.kind)
            assert code == (-signal.SIGKILL if part.failpoints else 0), self._said
        if scenario.is_new:
            self.database.empty()
        if scenario.forgets_executors:
            self.database.forget_executors()
        if scenario.forgets_settling:
            self.database.forget_settling()

    def kill(self, scenario: Scenario, boundary: str, at_pass: int) -> None:
        """Run the victim until it is killed at its *at_pass*-th pass of a boundary."""
        skipped = f"{at_pass - 1}*off->" if at_pass > 1 else ""
        victim = replace(scenario.victim, failpoints=f"{boundary}={skipped}kill")
        code = self._play(victim, scenario.kind)
        assert code == -signal.SIGKILL, f"{boundary} was not passed {at_pass} times: {self._said}"

    def passes(self, scenario: Scenario) -> Counter[str]:
        """Run the victim unharmed and return which boundaries it passed, and how often."""
        trace = self._folder / "trace"
        victim = replace(scenario.victim, env={**scenario.victim.env, "FAILPOINTS_TRACE": str(trace)})
        code = self._play(victim, scenario.kind)
        assert code == 0, self._said
        return Counter(trace.read_text().split())

    def finish(self, scenario: Scenario) -> None:
        """Let the others bring the workflow to its end."""
        for part in scenario.after:
            assert self._play(part, scenario.kind) == 0, self._said
        self.result = json.loads(self._printed)

    def faults(self, repeated_step: int | None = None) -> list[str]:
        """Return what the judge objects to, when at most one step was to happen twice."""
        times = {step: 2 if step == repeated_step else 1 for step in STEPS}
        found = faults(self.ledger.entries(), times, self.result)
        lines = list(zip(STEPS, self.result, strict=False))
        if self.application is not None and self.application.lines() != lines:
            found.append(f"the application's table holds {self.application.lines()}")
        return found

    def _play(self, part: Part, kind: str) -> int:
        out, err = self._folder / "printed", self._folder / "said"
        with out.open("w") as printed, err.open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.program", part.role, self._colour, kind],
                cwd=ROOT,
                env={**os.environ, **RHYTHMS, **part.env, **self._env(part.failpoints)},
                stdout=printed,
                stderr=said,
            )
            try:
                return process.wait(PART_SECONDS_MAX)
            finally:
                process.kill()
                process.wait()
                self._printed, self._said = out.read_text(), err.read_text()

    def _env(self, failpoints: str) -> Mapping[str, str]:
        return {
            "DURUST_DATABASE_URL": self.database.url,
            "CRASH_LEDGER": str(self.ledger.path),
            "CRASH_APPLICATION": "" if self.application is None else self.application.url,
            "FAILPOINTS": failpoints,
        }


@pytest.fixture
def stage(source: Source, kind: str, colour: str, tmp_path: Path) -> Iterator[Stage]:
    """Return the stage of a test that takes the *kind* of database and the *colour* as parameters."""
    made: list[Database] = []

    def make() -> Database:
        made.append(source.make(kind))
        return made[-1]

    yield Stage(make(), colour, tmp_path, make)
    for database in made:
        source.drop(database)
