"""A worker that is killed loses nothing: its workflows run again on the same host, from their last recorded step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from durust import clock
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, count, enqueue, enqueue_one
from tests.support.ledger import Ledger
from tests.support.waiting import eventually

WORK_SECONDS = 60.0


@pytest.mark.covers(63)
def test_the_bodies_of_three_busy_workers_run_once_each(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    supervisor = up("steps", "--workers", "3", "--slots", "8", url=url)
    supervisor.wait_until_up(3)

    ids = enqueue(provider, 300, seconds=0.01)

    eventually(lambda: count(provider, Status.SUCCESS) == len(ids), WORK_SECONDS)
    entries = ledger.entries()
    assert Counter((entry.workflow, entry.place) for entry in entries) == {
        (name, place): 1 for name in ids for place in range(steps.PLACES)
    }
    assert len({entry.pid for entry in entries}) == 3


def kill_a_busy_worker(up: StartUp, url: str, provider: StateProvider, ledger: Ledger, planted: str) -> list[str]:
    """Kill one of two workers amid its work, wait until all workflows have ended, and return their ids."""
    supervisor = up("steps", "--workers", "2", "--slots", "4", url=url, env={"PLANTED": planted})
    supervisor.wait_until_up(2)
    ids = enqueue(provider, 40, seconds=0.1)
    victim = eventually(lambda: next((entry.pid for entry in ledger.entries() if entry.place == 1), 0))

    next(worker for worker in supervisor.workers() if worker.pid == victim).kill()

    eventually(lambda: count(provider, Status.SUCCESS) == len(ids), WORK_SECONDS)
    assert f"(pid {victim}) was killed by SIGKILL" in supervisor.said
    return ids


@pytest.mark.covers(51)
def test_the_work_of_a_killed_worker_ends_and_no_recorded_step_runs_again(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    ids = kill_a_busy_worker(up, url, provider, ledger, planted="")

    assert ledger.faults(ids, steps.PLACES) == []
    # Each of the victim's four slots may have been inside one body.
    assert ledger.repeats() <= 4


@pytest.mark.parametrize(
    ("planted", "seen"), [("unrecorded", "ran a recorded step again"), ("forgetful", "never ran [1]")]
)
def test_the_ledger_shows_planted_bugs(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, planted: str, seen: str
) -> None:
    ids = kill_a_busy_worker(up, url, provider, ledger, planted)

    assert any(seen in fault for fault in ledger.faults(ids, steps.PLACES))


def runs_for_the_second_time(provider: StateProvider, name: str) -> bool:
    [row] = provider.workflows(ListFilter(workflow_ids=[name]))
    return (row.status, row.attempts) == (Status.PENDING, 2)


@pytest.mark.protocol("4.local-death.at-once")
def test_a_killed_worker_s_workflow_runs_again_within_a_second(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    supervisor = up("steps", "--workers", "2", url=url)
    supervisor.wait_until_up(2)
    name = enqueue_one(provider, steps.gated, str(gate))
    victim = eventually(lambda: next((entry.pid for entry in ledger.entries()), 0))
    killed_at = clock.monotonic()

    next(worker for worker in supervisor.workers() if worker.pid == victim).kill()

    eventually(lambda: runs_for_the_second_time(provider, name))
    assert clock.monotonic() - killed_at < 1
    gate.touch()
    eventually(lambda: count(provider, Status.SUCCESS) == 1)
    assert ledger.faults([name], steps.PLACES) == []
