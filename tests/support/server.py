"""One Postgres server for a run of the tests, shared by its workers, and a fresh database for each test."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durust import clock
from durust.embedded import Server, open_server
from tests.support.memory import quick_folder

# The first process of a run makes the folder; the workers that it starts inherit the variable.
FOLDER_VARIABLE = "DURUST_TEST_SERVER_FOLDER"
PREFIX = "durust-tests-"
SETTINGS: dict[str, str | int] = {
    # Tests kill processes and never the machine, and that is all that fsync protects from.
    "fsync": "off",
    # Each of a few workers may run several processes with pools of their own.
    "max_connections": 200,
}

MakeDatabase = Callable[[], str]


class RunFolder:
    """The folder of one run's server, made by the run's first process and removed at its end."""

    def __init__(self) -> None:
        fresh = Path(tempfile.mkdtemp(prefix="durust-new-", dir=quick_folder()))
        self._lock = os.open(fresh / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Named last, so that no other run ever finds it without its lock.
        self.path = fresh.rename(fresh.with_name(f"{PREFIX}{clock.random_token()}"))
        os.environ[FOLDER_VARIABLE] = str(self.path)

    def remove(self) -> None:
        """Stop the server, should a killed worker have left it running, and remove the folder."""
        del os.environ[FOLDER_VARIABLE]
        _stop_and_remove(self.path)
        os.close(self._lock)


def remove_abandoned_folders() -> None:
    """Stop the servers and remove the folders of earlier runs that were killed."""
    for folder in quick_folder().glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder / "run.lock", os.O_RDWR)
        except OSError:
            # Just being made or removed, or another user's.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_and_remove(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _stop_and_remove(folder: Path) -> None:
    if (folder / "data" / "postmaster.pid").exists():
        open_server(folder, SETTINGS).close()
    if folder.exists():
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return the Postgres server of this run; its first user starts it."""
    with open_server(Path(os.environ[FOLDER_VARIABLE]), SETTINGS) as opened:
        yield opened


@pytest.fixture
def make_database(server: Server) -> Iterator[MakeDatabase]:
    """Return `make_database()`, which answers the URL of a new and empty database that is dropped after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{clock.random_token()}"
        url = server.create_database(name)
        made.append(name)
        return url

    yield make
    for name in made:
        server.drop_database(name)
