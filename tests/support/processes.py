"""Real Python processes for tests, none of which outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from durust import clock
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# Every process that a spawned one starts inherits this variable, so it is found wherever it moved itself to.
MARK = "DURUST_TEST_SPAWN"
ROOT = Path(__file__).parents[2]


class Spawned:
    """A Python process in a session of its own; what it prints is collected in files."""

    def __init__(self, arguments: tuple[str | Path, ...], folder: Path, env: Mapping[str, str], cwd: Path) -> None:
        self._mark = clock.random_token()
        self._stdout, self._stderr = folder / f"{self._mark}.out", folder / f"{self._mark}.err"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env, MARK: self._mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has complained about so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout: float = TIMEOUT_SECONDS) -> int:
        """Wait for the end and return its exit code, the negative signal if one killed it."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            message = f"still running after {timeout} s{self._said()}"
            raise AssertionError(message) from None

    def wait_for(self, text: str, timeout: float = TIMEOUT_SECONDS) -> str:
        """Wait until *text* stands in what it printed, and return all of that."""
        eventually(lambda: text in self.stdout or not self.running, timeout)
        printed = self.stdout
        assert text in printed, f"{text!r} was not printed{self._said()}"
        return printed

    def send(self, number: signal.Signals) -> None:
        """Send the signal *number* to this process alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill this process alone, at once, and reap it."""
        self._process.kill()
        self._process.wait(TIMEOUT_SECONDS)

    def end(self) -> None:
        """Kill it and everything that it started, by pid."""
        # Again until none is seen, because one that is not killed yet may start another behind the look.
        eventually(lambda: not self._kill_marked())
        self._process.wait(TIMEOUT_SECONDS)

    def _kill_marked(self) -> list[int]:
        killed = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark:
                    process.kill()
                    killed.append(process.pid)
            except psutil.Error:
                # Gone meanwhile, or of another user and so none of ours.
                continue
        return killed

    def _said(self) -> str:
        return f"\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


Spawn = Callable[..., Spawned]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Return `spawn(*arguments, env={}, cwd=the repository)`, which runs `python *arguments` until the test ends."""
    spawned: list[Spawned] = []

    def start(*arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Spawned:
        process = Spawned(arguments, tmp_path, env or {}, cwd)
        spawned.append(process)
        return process

    yield start
    for process in spawned:
        process.end()
