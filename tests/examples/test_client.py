"""The shop that runs nothing itself, beside its worker."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.support.processes import ROOT, Spawn

SCRIPT = ROOT / "examples" / "client.py"
SOLD = "Parcel(customer='ada', items=['cup', 'tea'])\norders: [('ada',)]\n"


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Popen[str]]:
    """Return the example's worker, at work until its input ends."""
    monkeypatch.setenv("CLIENT_FOLDER", str(tmp_path))
    with Popen([sys.executable, SCRIPT, "work"], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_an_order_and_its_parcel_are_there_together_or_not_at_all(
    worker: Popen[str], spawn: Spawn, tmp_path: Path
) -> None:
    shop = spawn(SCRIPT, "shop")

    assert (shop.wait(), shop.stderr) == (0, "")
    assert shop.stdout == SOLD
    with closing(sqlite3.connect(tmp_path / "client.db")) as database:
        assert database.execute("select customer from orders").fetchall() == [("ada",)]
        assert database.execute("select status from workflow_status").fetchall() == [("SUCCESS",)]


def test_without_a_migrated_database_the_shop_says_what_to_do(spawn: Spawn, tmp_path: Path) -> None:
    shop = spawn(SCRIPT, "shop", env={"CLIENT_FOLDER": str(tmp_path)})

    assert shop.wait() == 1
    assert "durust db migrate" in shop.stderr


def test_it_stays_under_sixty_lines() -> None:
    assert len(SCRIPT.read_text().splitlines()) < 60
