"""`durust ctl scale` and `recycle`: more workers, fewer, and new ones, while work goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, Up, count, enqueue, enqueue_one
from tests.support.ledger import Ledger
from tests.support.processes import Spawned
from tests.support.waiting import eventually

Durust = Callable[..., Spawned]

WHOLE = """
import durust

@durust.workflow
def ship(ctx: durust.SyncDurableContext) -> None: ...
"""
BROKEN = "raise ImportError('a bad deploy')\n"


def pids(running: Up) -> set[int]:
    """Return the pids of the workers that are at work."""
    return {worker.pid for worker in running.overview().workers if worker.state == "LIVE"}


def order(durust: Durust, running: Up, *words: str) -> str:
    """Give an order and return what it printed."""
    given = durust("ctl", *words, "--pidfile", str(running.pidfile))
    assert given.wait() == 0, given.stderr
    return given.stdout


def test_workers_are_added_and_taken_away_and_no_step_is_repeated(
    up: StartUp, durust: Durust, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    running = up("steps", "--workers", "1", "--slots", "2", url=url)
    running.wait_until_up(1)

    assert order(durust, running, "scale", "3") == f"the supervisor (pid {running.pid}) keeps 3 workers from now on\n"
    eventually(lambda: len(pids(running)) == 3)
    ids = enqueue(provider, 30, seconds=0.05)
    eventually(lambda: len({entry.pid for entry in ledger.entries()}) == 3)
    order(durust, running, "scale", "1")

    eventually(lambda: [worker.index for worker in running.overview().workers] == [0])
    eventually(lambda: count(provider, Status.SUCCESS) == len(ids))
    assert ledger.faults(ids, steps.PLACES) == []
    assert ledger.repeats() == 0
    assert {row.attempts for row in provider.workflows(ListFilter(limit=1000))} == {1}
    assert (running.overview().supervisor.workers, running.overview().supervisor.deaths) == (1, 0)


def test_workers_are_replaced_one_after_the_other_and_no_step_is_repeated(
    up: StartUp, durust: Durust, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    running = up("steps", "--workers", "2", "--slots", "2", url=url)
    running.wait_until_up(2)
    before = pids(running)
    ids = enqueue(provider, 30, seconds=0.05)
    eventually(lambda: len(ledger.entries()) > 0)

    order(durust, running, "recycle")

    eventually(lambda: "all workers are new" in running.said)
    assert pids(running).isdisjoint(before)
    assert running.overview().supervisor.state == "RUNNING"
    eventually(lambda: count(provider, Status.SUCCESS) == len(ids))
    assert ledger.faults(ids, steps.PLACES) == []
    assert ledger.repeats() == 0
    assert running.overview().supervisor.deaths == 0


def test_code_that_does_not_come_up_replaces_no_more_than_the_first(
    up: StartUp, durust: Durust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(WHOLE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    running = up("shop", "--workers", "2", url=f"sqlite:///{tmp_path}/durust.db")
    running.wait_until_up(2)
    before = pids(running)
    (tmp_path / "shop.py").write_text(BROKEN)

    order(durust, running, "recycle")

    eventually(lambda: running.said.count("a bad deploy") > 1)
    assert len(pids(running) & before) == 1
    assert running.overview().supervisor.state == "RECYCLING"


def test_a_supervisor_that_ends_takes_no_workers_on(
    up: StartUp, durust: Durust, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = up("steps", "--workers", "1", "--drain-timeout", "60", url=url)
    enqueue_one(provider, steps.gated, str(gate))
    eventually(ledger.entries)
    order(durust, running, "drain")

    refused = [durust("ctl", *words, "--pidfile", str(running.pidfile)) for words in (["scale", "2"], ["recycle"])]

    assert [each.wait() for each in refused] == [4, 4]
    assert "is ending, and starts no workers any more" in refused[0].stderr
    gate.touch()
    assert running.process.wait() == 0


@pytest.mark.parametrize(("words", "code"), [(["scale", "0"], 2), (["scale", "many"], 2), (["recycle"], 3)])
def test_an_order_that_cannot_be_given_has_an_exit_code(
    durust: Durust, tmp_path: Path, words: list[str], code: int
) -> None:
    assert durust("ctl", *words, "--pidfile", str(tmp_path / "none.pid")).wait() == code
