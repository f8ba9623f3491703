"""An environment with the official library in it, made once and kept in the build folder."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

PACKAGE = "dbos==3.4.0"
# The installation takes ten seconds; a slow network and a busy machine make it many.
COMMAND_SECONDS = 240
# What a test may take that has to wait for the environment first.
TIMEOUT_SECONDS = 400


def make_environment() -> Path:
    """Return the Python of an environment that has the official library, which nothing of durust ever imports.

    Made by the first process that asks, while the others wait; a later run finds it. Raises `AssertionError` with what
    the installer said.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = ROOT / "build" / "interop" / f"{PACKAGE.replace('==', '-')}-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, ready = folder / "bin" / "python", folder / "ready"
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ready.exists() and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder)
            _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE)
            # Written last, so that an installation that was interrupted is begun anew.
            ready.touch()
    return python


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, (
        f"{PACKAGE} could not be installed, so nothing shows that durust and it agree\n"
        f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    )
