"""Worker processes under their supervisor, as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benching.application import QUEUE
from benching.stores import Watcher
from durust import clock

SCRIPTS = Path(__file__).resolve().parents[1]
# An interpreter starts within a second or two on a busy machine.
START_SECONDS = 30.0
# What has nothing left to do drains within a second.
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.05


@contextmanager
def running(
    url: str, workers: int, watcher: Watcher, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run *workers* processes on the database of *url*, with *settings* by their variables, while the `with` lasts."""
    command = [
        *(sys.executable, "-c", "from durust.supervisor.cli import main; main()", "up", "benching.application"),
        *("--workers", str(workers), "--queues", QUEUE.name, "--db", url),
        *("--pidfile", str(folder / f"{clock.random_token()}.pid"), "--no-migrate"),
    ]
    log = folder / "supervisor.log"
    path = os.pathsep.join([str(SCRIPTS.parent), str(SCRIPTS)])
    environment = {**os.environ, **(settings or {}), "PYTHONPATH": path}
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=SCRIPTS, env=environment, stderr=said, stdout=said)
    try:
        wait_until(lambda: watcher.executors() >= workers or process.poll() is not None, START_SECONDS)
        if process.poll() is not None:
            raise RuntimeError(f"the supervisor ended: {log.read_text(encoding='utf-8')}")
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def wait_until(condition: Callable[[], bool], seconds_max: float, pause_seconds: float = LOOK_SECONDS) -> None:
    """Ask *condition* again and again until it holds. Raises `TimeoutError`."""
    deadline = clock.monotonic() + seconds_max
    while not condition():
        if clock.monotonic() > deadline:
            raise TimeoutError(f"nothing came of it in {seconds_max:g} s")
        clock.pause(pause_seconds)
