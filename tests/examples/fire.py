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
WORKERS = 2


class Fire:
    """What became of an application whose workers died."""

    def __init__(self, customer: Spawned, supervisors: Sequence[Spawned], work: Sequence[str]) -> None:
        self.customer, self.supervisors = customer, supervisors
        self.work = work
        """What was done to the world, without who did it."""

    @property
    def supervisor(self) -> Spawned:
        """Return the one that lived to the end."""
        return self.supervisors[-1]

    @property
    def kills(self) -> int:
        """Return how many workers were killed, those of a killed supervisor with it."""
        told = sum(each.stderr.count("was killed by SIGKILL") for each in self.supervisors)
        return told + WORKERS * (len(self.supervisors) - 1)


def under_fire(
    spawn: Spawn,
    tmp_path: Path,
    url: str,
    application: ModuleType,
    notes_until_death: int | None,
    *,
    supervisor_dies_at: int | None = None,
) -> Fire:
    """Run *application* by two workers, each of which is killed at so many effects, as is each that comes after it.

    The application's program takes the URL, says `ordered` when its work is in the queue, and prints what came of it;
    its steps note their effects in a log, and pass the failpoint `noted` behind each. At so many effects of all workers
    the supervisor is killed as well, and another one takes its place.
    """
    folder, script = tmp_path / "application", Path(application.__file__ or "")
    folder.mkdir()
    shutil.copy(script, folder)
    up = (
        "up",
        script.stem,
        "--workers",
        str(WORKERS),
        "--slots",
        "8",
        "--db",
        url,
        "--pidfile",
        str(tmp_path / "up.pid"),
    )
    failpoints = f"noted={notes_until_death - 1}*off->kill" if notes_until_death else ""
    env = {"FAILPOINTS": failpoints}
    log = folder / f"{script.stem}.log"

    def supervise() -> Spawned:
        supervisor = spawn(Path(sys.executable).with_name("durust"), *up, cwd=folder, env=env)
        eventually(lambda: supervisor.stderr.count("is up") >= WORKERS)
        return supervisor

    def notes() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    supervisors = [supervise()]
    customer = spawn(script.name, url, cwd=folder)

    customer.wait_for("ordered")
    if supervisor_dies_at is not None:
        eventually(lambda: len(notes()) >= supervisor_dies_at)
        supervisors[-1].kill()
        supervisors.append(supervise())
    customer.wait(WORK_SECONDS)
    return Fire(customer, supervisors, [line.partition(" ")[2] for line in notes()])
