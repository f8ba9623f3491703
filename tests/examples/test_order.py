"""The crash story, told by real processes on both databases."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Spawn, Spawned
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

Tell = Callable[..., Spawned]


@pytest.fixture(params=["sqlite", "postgres"])
def run_order(request: pytest.FixtureRequest, spawn: Spawn, tmp_path: Path) -> Tell:
    """Return `run_order(failpoints)`, which runs the example, or another script, in a folder of its own."""
    env = {"ORDER_FOLDER": str(tmp_path), "DATABASE_URL": ""}
    if request.param == "postgres":
        make_database: MakeDatabase = request.getfixturevalue("make_database")
        env["DATABASE_URL"] = make_database()

    def run(failpoints: str, script: str | Path = "examples/order.py") -> Spawned:
        return spawn(script, env={**env, "FAILPOINTS": failpoints})

    return run


def effects(folder: Path) -> list[str]:
    """Return what was done to the world, in the order of its times."""
    lines = [line.split() for line in (folder / "order.ledger").read_text().splitlines()]
    times = [datetime.fromisoformat(line[0]) for line in lines]
    assert times == sorted(times)
    return [line[2].partition("-")[0] for line in lines]


@pytest.mark.covers(1, 23, 51)
@pytest.mark.parametrize(("failpoint", "code"), [("after_charge=return", 1), ("after_charge=kill", -signal.SIGKILL)])
def test_an_order_that_dies_after_the_charge_is_resumed_behind_it(
    run_order: Tell, tmp_path: Path, failpoint: str, code: int
) -> None:
    died = run_order(failpoint)

    assert (died.wait(), died.stdout) == (code, "")
    assert effects(tmp_path) == ["charge"]

    resumed = run_order("")

    assert (resumed.wait(), resumed.stderr) == (0, "")
    assert resumed.stdout.startswith("Receipt(order=Order(id='order-1', cents=1999), charge='charge-")
    assert effects(tmp_path) == ["charge", "shipment"]

    repeated = run_order("")

    assert (repeated.wait(), repeated.stderr) == (0, "")
    assert repeated.stdout == resumed.stdout
    assert effects(tmp_path) == ["charge", "shipment"]


def test_an_order_may_die_again_and_again_after_the_charge(run_order: Tell, tmp_path: Path) -> None:
    for _ in range(3):
        assert run_order("after_charge=kill").wait() == -signal.SIGKILL

    assert run_order("").wait() == 0
    assert effects(tmp_path) == ["charge", "shipment"]


def test_an_order_that_meets_no_failure_runs_once(run_order: Tell, tmp_path: Path) -> None:
    assert run_order("").wait() == 0

    assert effects(tmp_path) == ["charge", "shipment"]


@pytest.mark.covers(54)
def test_an_order_whose_code_was_edited_meanwhile_is_said_to_wait(run_order: Tell, tmp_path: Path) -> None:
    assert run_order("after_charge=kill").wait() == -signal.SIGKILL
    edited = tmp_path / "order.py"
    edited.write_text(
        (ROOT / "examples" / "order.py").read_text().replace("charge, shipment)", "charge, shipment + '!')")
    )

    waiting = run_order("", edited)

    eventually(
        lambda: "another version of their code" in waiting.stderr and "order-1 (process_order)" in waiting.stderr
    )
    assert effects(tmp_path) == ["charge"]
