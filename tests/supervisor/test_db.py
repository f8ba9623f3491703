"""`durust db`: the schema is made on demand and looked at without a change, and what has ended goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from durust.storage.opening import open_provider
from tests.conformance.builders import commit, finish, make_claimed
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


@pytest.mark.parametrize("command", ["migrate", "status", "purge --keep=1"])
def test_a_database_that_does_not_answer_has_an_exit_code_of_its_own(durust: Durust, command: str) -> None:
    refused = durust("db", *command.split(), "--db", "postgresql://127.0.0.1:1/x")

    assert refused.wait() == 5
    assert "Traceback" not in refused.stderr


def make_ended(url: str, count: int) -> None:
    """Run so many workflows to their ends, and leave one that has not ended."""
    with closing(open_provider(url)) as provider:
        provider.migrate()
        for _ in range(count):
            commit(provider, finish(make_claimed(provider)))
        make_claimed(provider)


@pytest.mark.covers(173)
def test_a_purge_tells_how_much_went_and_a_dry_one_how_much_would(durust: Durust, url: str) -> None:
    make_ended(url, 5)

    dry = durust("db", "purge", "--older-than", "0", "--dry-run", "--db", url)
    assert (dry.wait(), json.loads(dry.stdout)) == (0, {"workflows": 5, "more": False, "dry_run": True})
    purged = durust("db", "purge", "--keep", "2", "--older-than", "30d", "--db", url)
    assert (purged.wait(), json.loads(purged.stdout)["workflows"]) == (0, 3)
    rest = durust("db", "purge", "--older-than", "0s", "--db", url, "-o", "table")

    assert (rest.wait(), rest.stdout) == (0, "2 ended workflows removed\n")


def test_a_purge_leaves_another_application_alone(durust: Durust, url: str) -> None:
    make_ended(url, 1)

    purged = durust("db", "purge", "--keep", "0", "--db", url, env={"DURUST_APP_NAME": "shop"})

    assert (purged.wait(), json.loads(purged.stdout)["workflows"]) == (0, 0)


@pytest.mark.parametrize("wrong", [[], ["--older-than", "soon"], ["--keep", "-1"], ["--older-than", "9999999999w"]])
def test_a_purge_that_cannot_be_meant_is_a_matter_of_usage(durust: Durust, url: str, wrong: list[str]) -> None:
    make_ended(url, 0)

    refused = durust("db", "purge", *wrong, "--db", url)

    assert refused.wait() == 2
    assert "Traceback" not in refused.stderr
