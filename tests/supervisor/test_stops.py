"""A supervisor and its worker stopped past their lease find out, and nothing that they still write counts."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from durust.model.filters import ExecutorQuery, ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from durust.supervisor.exits import WorkerExit, describe
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, Up, count, enqueue_one
from tests.support.ledger import Ledger
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

OPTIONS = ("--workers", "1", "--lease-seconds", "2")


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """Return the address of an empty Postgres database: on SQLite a stopped writer holds up everybody."""
    return make_database()


class Zombies:
    """A supervisor and its worker that were stopped, whose work another supervisor then finished."""

    def __init__(self, up: Up, processes: Sequence[psutil.Process], worker_pid: int) -> None:
        self.up, self.processes, self.worker_pid = up, processes, worker_pid

    def wake(self, *pids: int) -> None:
        """Continue those of *pids*, or all, and wait until the worker is gone."""
        for process in self.processes:
            if not pids or process.pid in pids:
                process.resume()
        eventually(lambda: not is_alive(self.worker_pid))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def records(provider: StateProvider) -> object:
    """Return everything that a write of a run could change."""
    rows = provider.workflows(ListFilter(load_output=True))
    return rows, provider.history([row.workflow_id for row in rows])


def let_others_finish(up: StartUp, url: str, provider: StateProvider) -> None:
    """Have another supervisor finish the work, which it gets only when the lease of whoever holds it has ended."""
    up("steps", *OPTIONS, url=url)
    eventually(lambda: count(provider, Status.SUCCESS) == 1, 30)


def stop_in_a_body(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, gate: Path, planted: str = ""
) -> tuple[Zombies, str]:
    """Stop a supervisor and its worker inside a step's body; the body ends as soon as the process continues."""
    first = up("steps", *OPTIONS, url=url, env={"PLANTED": planted})
    # It claims before it says so, and is to be heard of before it is stopped.
    first.wait_until_up(1)
    name = enqueue_one(provider, steps.gated, str(gate))
    worker_pid = eventually(lambda: next((entry.pid for entry in ledger.entries()), 0))
    eventually(lambda: len(provider.history([name])[name]) == 1)
    processes = first.stop_all()
    gate.touch()
    let_others_finish(up, url, provider)
    return Zombies(first, processes, worker_pid), name


@pytest.mark.covers(66)
@pytest.mark.protocol("4.beat.reaped-is-killed")
def test_a_supervisor_and_a_worker_that_continue_end_the_worker_and_none_of_its_writes_counts(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    zombies, name = stop_in_a_body(up, url, provider, ledger, tmp_path / "gate")
    before = records(provider)

    zombies.wake()

    assert records(provider) == before
    assert ledger.faults([name], steps.PLACES) == []
    eventually(lambda: zombies.up.said.count("is up") == 2)
    zombies.up.signal(signal.SIGTERM)
    assert zombies.up.process.wait() == 0


@pytest.mark.covers(66)
@pytest.mark.protocol("4.beat.page")
def test_a_stopped_worker_whose_supervisor_stays_stopped_ends_by_itself(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    zombies, _ = stop_in_a_body(up, url, provider, ledger, tmp_path / "gate")
    before = records(provider)

    zombies.wake(zombies.worker_pid)

    assert records(provider) == before
    assert [entry.place for entry in ledger.entries() if entry.pid == zombies.worker_pid] == [0]
    psutil.Process(zombies.up.pid).resume()
    eventually(lambda: f"(pid {zombies.worker_pid}) {describe(WorkerExit.FENCED)}" in zombies.up.said)


def test_a_worker_stopped_inside_an_open_batch_commits_nothing(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    # The second record is on its way when the process stops; long enough for that, and over when it continues.
    failpoints = {"FAILPOINTS": "sql.record_steps.before=1*off->sleep(3000)->off", "FAILPOINTS_TRACE": str(trace)}
    first = up("steps", *OPTIONS, url=url, env=failpoints)
    gate = tmp_path / "gate"
    gate.touch()
    name = enqueue_one(provider, steps.gated, str(gate))
    eventually(lambda: trace.exists() and trace.read_text().split().count("sql.record_steps.before") == 2)
    [worker] = first.workers()
    processes = first.stop_all()
    let_others_finish(up, url, provider)
    before = records(provider)

    Zombies(first, processes, worker.pid).wake()

    assert records(provider) == before
    assert ledger.faults([name], steps.PLACES) == []


def test_the_judge_of_writes_sees_one_without_a_guard(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    zombies, _ = stop_in_a_body(up, url, provider, ledger, tmp_path / "gate", planted="unguarded")
    before = records(provider)

    zombies.wake(zombies.worker_pid)

    assert records(provider) != before


def test_a_worker_that_is_stopped_alone_loses_its_lease_and_ends_when_it_continues(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    up("steps", *OPTIONS, url=url)
    name = enqueue_one(provider, steps.gated, str(tmp_path / "gate"))
    worker_pid = eventually(lambda: next((entry.pid for entry in ledger.entries()), 0))
    second = up("steps", *OPTIONS, url=url)
    second.wait_until_up(1)

    psutil.Process(worker_pid).suspend()
    eventually(lambda: provider.executors(ExecutorQuery(states=("DEAD",))))

    with suppress(psutil.NoSuchProcess):
        psutil.Process(worker_pid).resume()

    # By its supervisor, or by itself where it is quicker.
    eventually(lambda: not is_alive(worker_pid))
    (tmp_path / "gate").touch()
    eventually(lambda: count(provider, Status.SUCCESS) == 1)
    assert ledger.faults([name], steps.PLACES) == []


def test_a_worker_that_stays_stopped_is_replaced_when_its_lease_has_ended(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    supervisor = up("steps", *OPTIONS, url=url)
    supervisor.wait_until_up(1)
    name = enqueue_one(provider, steps.gated, str(tmp_path / "gate"))
    worker_pid = eventually(lambda: next((entry.pid for entry in ledger.entries()), 0))

    psutil.Process(worker_pid).suspend()

    supervisor.wait_until_up(2)
    (tmp_path / "gate").touch()
    eventually(lambda: count(provider, Status.SUCCESS) == 1)
    assert ledger.faults([name], steps.PLACES) == []
    assert "is killed: it was stopped for longer than its lease" in supervisor.said
