"""An application of both colours in a folder of its own: killed again and again, it charges everybody once."""

from __future__ import annotations

import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import psutil
import pytest

from durust.supervisor.remote import Remote
from tests.examples.applications import bakery
from tests.support.processes import Spawn, Spawned
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

COMMAND = "from durust.supervisor.cli import main; main()"
# Each kill happens when this many lines stand in the log, so that it falls into the middle of the work.
KILLS_AT = (15, 40)
# What one worker has in hand: a gather of four loaves in each of its six orders, and a closing of the shop.
IN_HAND_MAX = 6 * 4 + 2
WORK_SECONDS = 60.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database of each kind that processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/durust.db"
    make_database: MakeDatabase = request.getfixturevalue("make_database")
    return make_database()


def work(folder: Path) -> list[str]:
    """Return what was done to the world, without who did it."""
    log = folder / "bakery.log"
    return [line.partition(" ")[2] for line in log.read_text().splitlines()] if log.exists() else []


def has_done(folder: Path, lines: int) -> bool:
    return len(work(folder)) >= lines


def has_buried(supervisor: Spawned, killed: int) -> bool:
    return supervisor.stderr.count("was killed by SIGKILL") == killed


def busiest(remote: Remote) -> int:
    """Return the pid of the worker that runs most, or 0 while none is seen to run anything."""
    worker = max(remote.status().workers, key=lambda worker: worker.running)
    return worker.pid if worker.running else 0


def kill_a_busy_worker(pidfile: Path) -> None:
    """Kill the worker that runs most."""
    remote = Remote(pidfile)
    try:
        psutil.Process(eventually(partial(busiest, remote))).kill()
    finally:
        remote.close()


def bake_under_fire(spawn: Spawn, tmp_path: Path, url: str) -> tuple[Spawned, Spawned, Path]:
    """Run the bakery by `durust up` in a folder of its own and kill two busy workers.

    Return customer, supervisor and folder.
    """
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(bakery.__file__, folder)
    pidfile = tmp_path / "bakery.pid"
    up = ("up", "bakery", "--workers", "2", "--slots", "8", "--db", url, "--pidfile", str(pidfile))
    supervisor = spawn("-c", COMMAND, *up, cwd=folder)
    eventually(lambda: supervisor.stderr.count("is up") == 2)
    customer = spawn("bakery.py", url, cwd=folder)
    customer.wait_for("ordered")

    for killed, lines in enumerate(KILLS_AT, 1):
        eventually(partial(has_done, folder, lines), WORK_SECONDS)
        kill_a_busy_worker(pidfile)
        # Else the next kill might hit the same process, which is dead and not yet buried.
        eventually(partial(has_buried, supervisor, killed))

    customer.wait(WORK_SECONDS)
    return customer, supervisor, folder


def test_an_application_of_both_colours_outlives_its_workers(spawn: Spawn, tmp_path: Path, url: str) -> None:
    customer, supervisor, folder = bake_under_fire(spawn, tmp_path, url)

    loaves = sum(min(3 + number % 3, bakery.FLOUR[bakery.Grain.RYE]) + 2 for number in range(bakery.CUSTOMERS))
    assert customer.stdout.splitlines() == [
        "ordered",
        f"total {loaves * 310 / 100:.2f}",
        "whole True",
        "counts {'c0': 5, 'c1': 6, 'c2': 7}",
        "friday RYE 1 0",
    ]
    counts = Counter(work(folder))
    assert len([line for line in counts if line.startswith("bake c")]) == loaves
    assert len([line for line in counts if line.startswith("charge")]) == bakery.CUSTOMERS
    assert sum(counts.values()) - len(counts) <= len(KILLS_AT) * IN_HAND_MAX
    assert supervisor.stderr.count("was killed by SIGKILL") == len(KILLS_AT)
    assert "handed back" in supervisor.stderr
    assert "Traceback" not in supervisor.stderr
