"""A migrated database of each kind for each test, copied from one that was migrated once: that is quicker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from durust import clock
from durust.embedded import Server
from durust.storage.opening import open_provider

MakeMigrated = Callable[[str], str]


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """Return the name of a migrated database on the run's server."""
    name = f"template_{clock.random_token()}"
    _migrate(server.create_database(name))
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite file, which holds everything itself: nobody has it open."""
    path = tmp_path_factory.mktemp("template") / "durust.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def make_migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeMigrated]:
    """Return `make_migrated(kind)`, which answers the URL of a migrated database with nothing in it."""
    drops: list[Callable[[], None]] = []

    def make(kind: str) -> str:
        name = f"test_{clock.random_token()}"
        match kind:
            case "memory":
                return "memory://"
            case "sqlite":
                path = tmp_path / f"{name}.db"
                shutil.copyfile(request.getfixturevalue("migrated_file"), path)
                return f"sqlite:///{path}"
            case _:
                server: Server = request.getfixturevalue("server")
                copy_database(server, request.getfixturevalue("template"), name)
                drops.append(lambda: server.drop_database(name))
                return server.url_of(name)

    yield make
    for drop in drops:
        drop()


def copy_database(server: Server, template: str, name: str) -> None:
    """Copy a database as files: to write it to the log, for servers that must not stall, takes half as long again."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy".encode())


def _migrate(url: str) -> None:
    with closing(open_provider(url)) as provider:
        provider.migrate()
