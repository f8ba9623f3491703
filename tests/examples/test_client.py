"""The shop that runs nothing itself, and the worker beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.processes import ROOT, Spawn

SCRIPT = ROOT / "examples" / "client.py"
SOLD = "Parcel(customer='ada', items=['cup', 'tea'])\n"


def test_an_order_and_its_parcel_are_there_together_or_not_at_all(spawn: Spawn, tmp_path: Path) -> None:
    shop = spawn(SCRIPT, env={"CLIENT_FOLDER": str(tmp_path)})

    assert (shop.wait(), shop.stderr) == (0, "")
    assert shop.stdout == SOLD
    with closing(sqlite3.connect(tmp_path / "client.db")) as database:
        assert database.execute("select customer from orders").fetchall() == [("ada",)]
        assert database.execute("select status from workflow_status").fetchall() == [("SUCCESS",)]


def test_it_stays_under_sixty_lines() -> None:
    assert len(SCRIPT.read_text().splitlines()) < 60
