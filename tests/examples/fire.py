"""An application in a folder of its own, run by `durust up` while its workers die again and again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

WORK_SECONDS = 60.0


class Fire:
    """What became of an application whose workers died."""

    def __init__(self, customer: Spawned, supervisor: Spawned, work: Sequence[str]) -> None:
        self.customer, self.supervisor = customer, supervisor
        self.work = work
        """What was done to the world, without who did it."""

    @property
    def kills(self) -> int:
        """Return how many workers were killed."""
        return self.supervisor.stderr.count("was killed by SIGKILL")


def under_fire(spawn: Spawn, tmp_path: Path, url: str, application: ModuleType, notes_until_death: int | None) -> Fire:
    """Run *application* by two workers, each of which is killed at so many effects, as is each that comes after it.

    The application's program takes the URL, says `ordered` when its work is in the queue, and prints what came of it;
    its steps note their effects in a log, and pass the failpoint `noted` behind each.
    """
    folder, script = tmp_path / "application", Path(application.__file__ or "")
    folder.mkdir()
    shutil.copy(script, folder)
    up = ("up", script.stem, "--workers", "2", "--slots", "8", "--db", url, "--pidfile", str(tmp_path / "up.pid"))
    failpoints = f"noted={notes_until_death - 1}*off->kill" if notes_until_death else ""
    env = {"FAILPOINTS": failpoints}
    supervisor = spawn(Path(sys.executable).with_name("durust"), *up, cwd=folder, env=env)
    eventually(lambda: supervisor.stderr.count("is up") == 2)

    customer = spawn(script.name, url, cwd=folder)

    customer.wait_for("ordered")
    customer.wait(WORK_SECONDS)
    lines = (folder / f"{script.stem}.log").read_text().splitlines()
    return Fire(customer, supervisor, [line.partition(" ")[2] for line in lines])
