"""An application in a folder of its own, run by `durust up` and killed amid its work."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import psutil

from durust.supervisor.remote import Remote
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

WORK_SECONDS = 60.0


class Fire:
    """What became of an application whose busy workers were killed."""

    def __init__(self, customer: Spawned, supervisor: Spawned, work: Sequence[str]) -> None:
        self.customer, self.supervisor = customer, supervisor
        self.work = work
        """What was done to the world, without who did it."""


def under_fire(
    spawn: Spawn, tmp_path: Path, url: str, application: ModuleType, log: str, kills_at: Sequence[int]
) -> Fire:
    """Run *application*, and kill a busy worker when so many lines stand in its *log*.

    Its program takes the URL, says `ordered` when its work is in the queue, and prints what came of it.
    """
    folder, pidfile = tmp_path / "application", tmp_path / "up.pid"
    folder.mkdir()
    script = Path(application.__file__ or "")
    shutil.copy(script, folder)
    command = (Path(sys.executable).with_name("durust"), "up", script.stem, "--workers", "2", "--slots", "8")
    supervisor = spawn(*command, "--db", url, "--pidfile", str(pidfile), cwd=folder)
    eventually(lambda: supervisor.stderr.count("is up") == 2)
    customer = spawn(script.name, url, cwd=folder)
    customer.wait_for("ordered")

    for killed, lines in enumerate(kills_at, 1):
        eventually(partial(_has_done, folder / log, lines), WORK_SECONDS)
        _kill_a_busy_worker(pidfile)
        # Else the next kill might hit the same process, which is dead and not yet buried.
        eventually(partial(_has_buried, supervisor, killed))

    customer.wait(WORK_SECONDS)
    return Fire(customer, supervisor, _work(folder / log))


def _work(log: Path) -> list[str]:
    return [line.partition(" ")[2] for line in log.read_text().splitlines()] if log.exists() else []


def _has_done(log: Path, lines: int) -> bool:
    return len(_work(log)) >= lines


def _has_buried(supervisor: Spawned, killed: int) -> bool:
    return supervisor.stderr.count("was killed by SIGKILL") == killed


def _kill_a_busy_worker(pidfile: Path) -> None:
    remote = Remote(pidfile)
    try:
        psutil.Process(eventually(partial(_busiest, remote))).kill()
    finally:
        remote.close()


def _busiest(remote: Remote) -> int:
    """Return the pid of the worker that runs most, or 0 while none is seen to run anything."""
    worker = max(remote.status().workers, key=lambda worker: worker.running)
    return worker.pid if worker.running else 0
