"""The demo on fewer files: its kills, its judge and its table are those of `make demo`."""

from __future__ import annotations

import fcntl
import re
import signal
from pathlib import Path

import psutil

from durust.embedded import Server
from tests.support.processes import Spawn

# A busy machine gives two workers and a loop over the same files a fraction of a core.
DEMO_SECONDS = 100


def test_the_demo_kills_two_workers_and_counts_what_a_plain_loop_counts(spawn: Spawn, server: Server) -> None:
    demo = spawn("scripts/demo.py", "--files", "60", "--workers", "2", "--folder", server.folder)

    assert demo.wait(DEMO_SECONDS) == 0, demo.stdout + demo.stderr

    said = demo.stdout
    assert len(re.findall(r"killed pid \d+ while it ran [1-9]", said)) == 2
    assert len(re.findall(r"was killed by SIGKILL", said)) == 2
    assert "the plain loop over the same files counts the same" in said
    assert re.search(r"files +│ 60 ", said)
    assert re.search(r"workflows run +│ 60 ", said)


def test_a_demo_that_is_ended_from_outside_leaves_no_process_behind(spawn: Spawn, server: Server) -> None:
    demo = spawn("scripts/demo.py", "--files", "400", "--workers", "1", "--folder", server.folder)
    demo.wait_for("is up", DEMO_SECONDS)
    [fleet] = psutil.Process(demo.pid).children()

    demo.send(signal.SIGTERM)

    assert demo.wait(DEMO_SECONDS) == 128 + signal.SIGTERM, demo.stdout + demo.stderr
    assert not fleet.is_running()


def test_a_second_demo_in_the_same_folder_is_refused(spawn: Spawn, tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        demo = spawn("scripts/demo.py", "--folder", tmp_path)

        assert demo.wait() == 1
        assert demo.stderr == f"failed: another demo uses {tmp_path}; wait for it, or name another --folder\n"
