"""A database of each kind that processes can share, a worker of durust's on it, and programs of the other library's."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from durust import clock
from durust.embedded import Server
from durust.storage.provider import StateProvider
from tests.conformance.conftest import SHARED, open_provider
from tests.interop.conversation import ANSWER_SECONDS, Conversation
from tests.interop.environment import make_environment
from tests.support.processes import ROOT, Spawned

# Short rhythms, so that what waits for one does not wait long.
RHYTHMS = {
    "DURUST_SWEEP_SECONDS": "0.2",
    "DURUST_IDLE_POLL_SECONDS": "0.1",
    "DURUST_PARK_AFTER_SECONDS": "0.05",
}

Converse = Callable[..., Conversation]


@pytest.fixture(scope="session")
def other_python() -> Path:
    """Return the Python that has the official library."""
    return make_environment()


@pytest.fixture(scope="module", params=SHARED)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an empty database of each kind, which the tests of a module share."""
    with _database(request, tmp_path_factory.mktemp("database")) as address:
        yield address


@pytest.fixture(params=SHARED)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty database of each kind, which one test has for itself."""
    with _database(request, tmp_path) as address:
        yield address


@pytest.fixture(params=SHARED)
def their_url(request: pytest.FixtureRequest, converse: Converse, tmp_path: Path) -> Iterator[str]:
    """Return the address of a database of each kind that the official library made, with nothing in it."""
    if request.param == "postgres":
        with _database(request, tmp_path, request.getfixturevalue("their_template")) as address:
            yield address
        return
    with _database(request, tmp_path) as address:
        converse("application", address).ask("migrate", None)
        yield address


@pytest.fixture(scope="session")
def their_template(server: Server, other_python: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a database that the official library made, of which each test gets a copy: that is quicker."""
    name = f"template_{clock.random_token()}"
    address = server.create_database(name)
    with closing(Conversation(other_python, "application", address, folder=tmp_path_factory.mktemp("template"))) as it:
        it.ask("migrate", None)
    return name


@contextmanager
def _database(request: pytest.FixtureRequest, folder: Path, template: str | None = None) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/durust.db"
        return
    server: Server = request.getfixturevalue("server")
    name = f"test_{clock.random_token()}"
    yield server.create_database(name, template) if template else server.create_database(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def provider(url: str) -> Iterator[StateProvider]:
    """Return a migrated provider."""
    opened = open_provider(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def converse(other_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converse]:
    """Return `converse(program, *arguments)`, which runs a program of this folder with the official library."""
    started: list[Conversation] = []

    def start(program: str, *arguments: str) -> Conversation:
        conversation = Conversation(other_python, program, *arguments, folder=tmp_path_factory.mktemp("other"))
        started.append(conversation)
        return conversation

    yield start
    for conversation in started:
        conversation.close()


@pytest.fixture(scope="module")
def client(url: str, provider: StateProvider, converse: Converse) -> Conversation:
    """Return the official client of the database that durust migrated."""
    return converse("client", url)


@pytest.fixture(scope="module")
def worker(url: str, provider: StateProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawned]:
    """Run durust's workers on the database, in a process of their own."""
    with working(url, tmp_path_factory.mktemp("worker")) as process:
        yield process


@contextmanager
def working(url: str, folder: Path) -> Iterator[Spawned]:
    """Run durust's workers on the database at *url*."""
    process = Spawned(("-m", "tests.interop.worker", url), folder, RHYTHMS, ROOT)
    try:
        process.wait_for("launched")
        yield process
        process.send(signal.SIGTERM)
        assert process.wait() == 0, process.stderr
    finally:
        process.end()


@pytest.fixture(scope="module")
def other_command(other_python: Path, url: str) -> Callable[..., Any]:
    """Return `other_command(*arguments)`, which runs the official command line and reads the JSON that it prints."""

    def run(*arguments: str) -> Any:
        command: list[str | Path] = [other_python.with_name("dbos"), *arguments, "--sys-db-url", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
