"""`durust up` as a real process, the ledger of its workers, and the database that they share."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from durust import clock
from durust.codec import Codec
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.model.writes import Recorded, StartWorkflow
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider
from durust.supervisor.remote import Overview, Remote
from tests.supervisor.apps import steps
from tests.support.databases import MakeMigrated
from tests.support.ledger import Ledger
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

APPS = Path(__file__).parent / "apps"
COMMAND = "from durust.supervisor.cli import main; main()"
SHARED = ("sqlite", "postgres")


class Up:
    """A running supervisor."""

    def __init__(self, process: Spawned, pidfile: Path) -> None:
        self.process, self.pidfile = process, pidfile

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self.process.pid

    @property
    def said(self) -> str:
        """What it told its user."""
        return self.process.stderr

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that live, by pid."""
        try:
            children = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def overview(self) -> Overview:
        """Ask the supervisor how it stands."""
        remote = Remote(self.pidfile)
        try:
            return remote.status()
        finally:
            remote.close()

    def wait_until_up(self, workers: int) -> None:
        """Wait until *workers* have come up."""
        eventually(lambda: self._came_up() >= workers or not self.process.running)
        assert self.process.running, self.said

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self.process.send(number)

    def kill_all(self) -> None:
        """Kill the supervisor and all its workers at once, like a power failure."""
        victims = self.stop_all()
        for victim in victims:
            victim.kill()

    def stop_all(self) -> list[psutil.Process]:
        """Stop the supervisor and all its workers, and return them: first the workers."""
        # The supervisor first, so that it starts no other worker meanwhile.
        supervisor = psutil.Process(self.pid)
        supervisor.suspend()
        workers = self.workers()
        for worker in workers:
            worker.suspend()
        return [*workers, supervisor]

    def _came_up(self) -> int:
        return len(re.findall(r"worker \d+ \(pid \d+\) is up", self.said))


StartUp = Callable[..., Up]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return the ledger of this test's workers."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def durust(spawn: Spawn, ledger: Ledger) -> Callable[..., Spawned]:
    """Return `durust(*arguments, env={}, cwd=)`, which runs the command line, in the folder of applications."""

    def run(*arguments: str, env: dict[str, str] | None = None, cwd: Path = APPS) -> Spawned:
        return spawn("-c", COMMAND, *arguments, env={"LEDGER": str(ledger.path), **(env or {})}, cwd=cwd)

    return run


@pytest.fixture
def up(durust: Callable[..., Spawned], tmp_path: Path) -> StartUp:
    """Return `up(module, *options, url=, env={})`, which starts a supervisor with a pidfile of its own."""

    def start(module: str, *options: str, url: str, env: dict[str, str] | None = None) -> Up:
        pidfile = tmp_path / f"{clock.random_token()}.pid"
        env = {"DURUST_DATABASE_URL": url, **(env or {})}
        process = durust("up", module, "--pidfile", str(pidfile), *options, env=env)
        return Up(process, pidfile)

    return start


@pytest.fixture(params=SHARED)
def url(request: pytest.FixtureRequest, make_migrated: MakeMigrated) -> str:
    """Return the address of a migrated database of each kind that processes can share."""
    return make_migrated(request.param)


@pytest.fixture
def provider(url: str) -> Iterator[StateProvider]:
    """Return a provider on a migrated database, closed after the test; where `url` is an empty one it is migrated."""
    with closing(open_provider(url)) as opened:
        opened.migrate()
        yield opened


def enqueue(provider: StateProvider, count: int, seconds: float = 0.0, workflow: Any = steps.job) -> list[str]:
    """Queue *count* workflows and return their ids."""
    names = [f"{workflow.name}-{number:04}" for number in range(count)]
    _start(provider, workflow, {name: (name, seconds) for name in names})
    return names


def enqueue_one(provider: StateProvider, workflow: Any, *arguments: Any) -> str:
    """Queue one workflow, whose first argument is its name, and return its id."""
    name = f"{workflow.name}-0"
    _start(provider, workflow, {name: (name, *arguments)})
    return name


def _start(provider: StateProvider, workflow: Any, calls: dict[str, tuple[Any, ...]]) -> None:
    writer = provider.writer()
    shape = workflow.definition.shape
    encoded = {name: Codec().dump_arguments(shape, arguments, {}) for name, arguments in calls.items()}
    writes = [
        StartWorkflow(name, workflow.name, one.text, one.serialization, name, "durust", queue=steps.queue.name)
        for name, one in encoded.items()
    ]
    assert all(isinstance(outcome, Recorded) for outcome in writer.commit(writes))
    writer.close()


def count(provider: StateProvider, *statuses: Status) -> int:
    """Return how many workflows are in one of *statuses*."""
    return len(provider.workflows(ListFilter(statuses=statuses, limit=100_000)))
