"""The database goes away and comes back; workers and supervisor go on, and work resumes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from durust import clock, embedded
from durust.model.status import Status
from durust.storage.opening import open_provider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, count, enqueue
from tests.support.ledger import Ledger
from tests.support.waiting import eventually

# After the server answers again; its own start is not counted.
RESUME_SECONDS = 3.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that the server's account can reach, unlike pytest's own when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="durust-outage-"))
    path.chmod(0o711)
    yield path
    if postmaster(path):
        embedded.open_server(path).close()
    shutil.rmtree(path)


def postmaster(folder: Path) -> int:
    """Return the pid of the running server; 0 when there is none."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0
    return pid if psutil.pid_exists(pid) else 0


@pytest.mark.covers(58, 198)
@pytest.mark.timeout(180)
def test_work_resumes_soon_after_the_database_does(up: StartUp, ledger: Ledger, folder: Path) -> None:
    server = embedded.open_server(folder)
    provider = open_provider(server.url)
    provider.migrate()
    supervisor = up("steps", "--workers", "2", "--slots", "4", url=server.url)
    supervisor.wait_until_up(2)
    workers = {worker.pid for worker in supervisor.workers()}
    ids = enqueue(provider, 200, seconds=0.05)
    eventually(lambda: len(ledger.entries()) > 20)

    os.kill(postmaster(folder), signal.SIGKILL)
    eventually(lambda: not postmaster(folder))
    eventually(lambda: "the database does not answer" in supervisor.said)
    again = embedded.open_server(folder)
    back_at, before = clock.monotonic(), len(ledger.entries())

    eventually(lambda: len(ledger.entries()) > before + 8)
    assert clock.monotonic() - back_at < RESUME_SECONDS
    eventually(lambda: count(provider, Status.SUCCESS) == len(ids), 60)
    assert ledger.faults(ids, steps.PLACES) == []
    assert {worker.pid for worker in supervisor.workers()} == workers
    assert "the database answers again" in supervisor.said
    supervisor.signal(signal.SIGTERM)
    assert supervisor.process.wait() == 0
    provider.close()
    again.close()
    server.close()


def test_an_embedded_server_runs_as_long_as_its_supervisor(up: StartUp, folder: Path) -> None:
    supervisor = up("steps", "--workers", "1", url=f"embedded://{folder}")
    supervisor.wait_until_up(1)
    assert postmaster(folder)

    supervisor.signal(signal.SIGTERM)

    assert supervisor.process.wait() == 0
    assert not postmaster(folder)
