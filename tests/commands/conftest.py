"""The command line in this process, and the database that it is pointed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from durust.storage.opening import VARIABLES, open_provider
from durust.storage.provider import StateProvider
from durust.supervisor.cli import main
from tests.support.server import MakeDatabase

Durust = Callable[..., Result]
Answer = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an empty database, which commands find by their environment."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/durust.db"
    else:
        make_database: MakeDatabase = request.getfixturevalue("make_database")
        made = make_database()
    for variable in VARIABLES:
        monkeypatch.setenv(variable, made)
    return made


@pytest.fixture
def provider(url: str) -> Iterator[StateProvider]:
    """Return a migrated provider, closed after the test."""
    opened = open_provider(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def durust(monkeypatch: pytest.MonkeyPatch) -> Durust:
    """Return `durust(*arguments, stdin="", env={})`, which runs the command line."""
    # Wide enough that no table breaks a line.
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin, env=env)

    return run


@pytest.fixture
def answer(durust: Durust) -> Answer:
    """Return `answer(*arguments)`, which runs a command that has to succeed and returns the JSON that it prints."""

    def ask(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Any:
        told = durust(*arguments, stdin=stdin, env=env)
        assert told.exit_code == 0, told.stderr
        return json.loads(told.stdout)

    return ask
