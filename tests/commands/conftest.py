"""The command line in this process, and the database that it is pointed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner, Result

from durust.storage.opening import VARIABLES, open_provider
from durust.storage.provider import StateProvider
from durust.supervisor.cli import main
from tests.support.databases import MakeMigrated

Durust = Callable[..., Result]
Answer = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, make_migrated: MakeMigrated, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a migrated database, which commands find by their environment."""
    made = make_migrated(request.param)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, made)
    return made


@pytest.fixture
def provider(url: str) -> Iterator[StateProvider]:
    """Return a provider on a migrated database, closed after the test."""
    with closing(open_provider(url)) as opened:
        yield opened


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
