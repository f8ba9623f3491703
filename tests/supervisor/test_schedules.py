"""Supervisors fire schedules, whose workflows they do not know: each tick once over all of them, whoever dies."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import datetime, timedelta

import psycopg
import pytest

from durust import clock
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.conftest import StartUp
from tests.support.ledger import Ledger
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

SECOND = timedelta(seconds=1)
WORK_SECONDS = 60.0
# Shorter than a lease, so that the workers go on meanwhile.
STOPPED_SECONDS = 5.0
OPTIONS = ("--workers", "2", "--slots", "8", "--lease-seconds", "4")
# A database that forgets how far a schedule is settled, and which runs have ended.
PLANTED = """
create function forget() returns trigger language plpgsql as $$ begin return old; end $$;
create trigger forget before update on durust.schedules for each row execute function forget();
create function lose() returns trigger language plpgsql as $$
begin
  delete from dbos.operation_outputs where workflow_uuid = new.workflow_uuid;
  delete from dbos.workflow_status where workflow_uuid = new.workflow_uuid;
  return null;
end $$;
create trigger lose after update on dbos.workflow_status for each row
  when (new.status = 'SUCCESS') execute function lose();
"""


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """Return the address of an empty Postgres database."""
    return make_database()


def ticks(ledger: Ledger) -> list[datetime]:
    """Return the ticks that ran, in the order in which they ran."""
    return [datetime.fromisoformat(entry.workflow) for entry in ledger.entries()]


def faults(found: list[datetime]) -> list[str]:
    """Return what must not be: a tick that ran twice, and one that is missing between the first and the last."""
    doubled = [f"{tick} ran {count} times" for tick, count in Counter(found).items() if count > 1]
    every = int((max(found) - min(found)) / SECOND) + 1
    missing = {min(found) + number * SECOND for number in range(every)} - set(found)
    return doubled + [f"{tick} never ran" for tick in sorted(missing)]


def wait_for(ledger: Ledger, provider: StateProvider, more: int) -> None:
    """Wait for so many more ticks, and then for a moment at which no run is under way."""
    wanted = len(ticks(ledger)) + more
    eventually(lambda: len(ticks(ledger)) >= wanted, WORK_SECONDS)
    eventually(lambda: all(row.status is Status.SUCCESS for row in provider.workflows(ListFilter(limit=10_000))))


@pytest.mark.covers(142, 150, 152)
@pytest.mark.timeout(200)
def test_each_tick_runs_once_while_a_worker_and_then_a_supervisor_die(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    staying, dying = (up("ticking", *OPTIONS, url=url, env={"CATCH_UP": "1"}) for _ in range(2))
    staying.wait_until_up(2)
    dying.wait_until_up(2)
    wait_for(ledger, provider, 3)

    staying.workers()[0].kill()
    wait_for(ledger, provider, 3)
    dying.kill_all()
    wait_for(ledger, provider, 6)
    staying.stop_all()

    assert faults(ticks(ledger)) == []


@pytest.mark.timeout(200)
def test_the_ledger_shows_a_database_that_forgets(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    with psycopg.connect(url) as database:
        database.execute(PLANTED.encode())
    supervisor = up("ticking", *OPTIONS, url=url, env={"CATCH_UP": "1"})
    supervisor.wait_until_up(2)

    eventually(lambda: len(ticks(ledger)) >= 4, WORK_SECONDS)

    assert any("times" in fault for fault in faults(ticks(ledger)))


@pytest.mark.parametrize("catch_up", ["", "1"])
def test_a_supervisor_that_stood_still_does_not_burst_unless_asked_to(
    up: StartUp, url: str, ledger: Ledger, catch_up: str
) -> None:
    supervisor = up("ticking", "--workers", "1", url=url, env={"CATCH_UP": catch_up})
    supervisor.wait_until_up(1)
    eventually(lambda: len(ticks(ledger)) >= 2)

    supervisor.signal(signal.SIGSTOP)
    stopped, since = clock.now_utc(), clock.monotonic()
    eventually(lambda: clock.monotonic() - since > STOPPED_SECONDS)
    continued = clock.now_utc()
    supervisor.signal(signal.SIGCONT)

    eventually(lambda: max(ticks(ledger)) >= continued + SECOND, WORK_SECONDS)
    meanwhile = [tick for tick in ticks(ledger) if stopped + SECOND < tick < continued - SECOND]
    assert (len(meanwhile) >= STOPPED_SECONDS - 2) if catch_up else (meanwhile == [])
