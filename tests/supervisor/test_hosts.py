"""Several supervisors share a database, as on several hosts; one that dies whole leaves its work to the others."""

from __future__ import annotations

import pytest

from durust import clock
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, count, enqueue
from tests.support.ledger import Ledger
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

LEASE_SECONDS = 3.0
WORK_SECONDS = 100.0


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """Return the address of an empty Postgres database: SQLite serves one host by contract."""
    return make_database()


def lose_one_of_two(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, workflows: int, failpoints: str = ""
) -> list[str]:
    """Kill one of two supervisors with all its workers amid the work; return the ids of all workflows."""
    options = ("--workers", "2", "--slots", "8", "--lease-seconds", str(LEASE_SECONDS))
    staying = up("steps", *options, url=url, env={"FAILPOINTS": failpoints})
    dying = up("steps", *options, url=url)
    staying.wait_until_up(2)
    dying.wait_until_up(2)
    ids = enqueue(provider, workflows, seconds=0.01)
    victims = {worker.pid for worker in dying.workers()}
    eventually(lambda: len({entry.workflow for entry in ledger.entries() if entry.pid in victims}) > workflows // 20)

    dying.kill_all()

    return ids


@pytest.mark.covers(51)
@pytest.mark.timeout(200)
def test_two_thousand_workflows_survive_the_death_of_a_whole_supervisor(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    ids = lose_one_of_two(up, url, provider, ledger, 2000)

    eventually(lambda: count(provider, Status.SUCCESS) == len(ids), WORK_SECONDS)

    assert ledger.faults(ids, steps.PLACES) == []
    # Two workers of eight slots, each inside one body at most.
    assert ledger.repeats() <= 16


def test_without_the_reap_the_work_of_the_dead_stays_with_them(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    # So many that both are in the middle of them when one dies.
    ids = lose_one_of_two(up, url, provider, ledger, 1000, failpoints="supervisor.reap=return")

    eventually(lambda: count(provider, Status.ENQUEUED) == 0, WORK_SECONDS)
    deadline = clock.monotonic() + 2 * LEASE_SECONDS
    eventually(lambda: clock.monotonic() > deadline)

    assert ledger.faults(ids, steps.PLACES) != []
    assert count(provider, Status.PENDING) > 0
