"""`durust db`: the schema is made on demand, and looked at without a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import Spawned
from tests.support.server import MakeDatabase

Durust = Callable[..., Spawned]


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    return make_database()


def test_an_empty_database_does_not_fit_until_it_is_migrated(durust: Durust, url: str) -> None:
    assert durust("db", "status", "--db", url).wait() == 1
    assert durust("db", "migrate", "--db", url).wait() == 0

    told = durust("db", "status", "--db", url, "-o", "json")

    assert told.wait() == 0
    assert json.loads(told.stdout)["fits"] is True


def test_migrating_twice_changes_nothing(durust: Durust, url: str) -> None:
    assert [durust("db", "migrate", "--db", url).wait() for _ in range(2)] == [0, 0]


@pytest.mark.covers(186)
def test_without_migration_an_empty_database_is_refused_in_one_line(durust: Durust, url: str, tmp_path: Path) -> None:
    refused = durust("up", "steps", "--no-migrate", "--db", url, env={"DURUST_PIDFILE": str(tmp_path / "up.pid")})

    assert refused.wait() == 1
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["migrate", "status"])
def test_a_database_that_does_not_answer_has_an_exit_code_of_its_own(durust: Durust, command: str) -> None:
    refused = durust("db", command, "--db", "postgresql://127.0.0.1:1/x")

    assert refused.wait() == 5
    assert "Traceback" not in refused.stderr
