"""Chaos: two supervisors work through everything that can wait, while processes, sessions and the server are shot down.

The judge is not durust: every step body first writes a line to a ledger, with what the step before it made.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psutil
import psycopg
from chaos_application import LIMIT

from durust import DurableClient, PostgresProvider, ProviderUnavailable, WorkflowConflict, WorkflowOptions, clock
from durust.embedded import Server, open_server

SCRIPTS = Path(__file__).resolve().parent
SUPERVISORS = 2
# A lease that a stopped process outlives within one blow.
SETTINGS = {"DURUST_BEAT_SECONDS": "0.8", "DURUST_LEASE_SECONDS": "4", "DURUST_AUDIT_SECONDS": "3"}
# The server is killed and never the machine, and that is all that fsync protects from.
SERVER: dict[str, str | int] = {"fsync": "off"}
# Of a workflow that hangs: several leases, audits and sweeps, on a machine that is busy with other things.
END_SECONDS = 120.0
DRAIN_SECONDS = 40.0
POLL_SECONDS = 0.2
# Less than a lease, so that blows meet others that are not over yet.
PAUSE_SECONDS = 2.0
TABLES = ("dbos.workflow_status", "dbos.operation_outputs", "durust.leases", "durust.waits", "durust.grants")

Expected = dict[str, Callable[[str, Any], bool]]


class Supervisor:
    """One `durust up`, started again when it has ended."""

    def __init__(self, number: int, url: str, folder: Path) -> None:
        self._command: list[str | Path] = [
            Path(sys.executable).with_name("durust"),
            "up",
            "chaos_application",
            "--workers",
            "2",
        ]
        self._command += ["--slots", "12", "--db", url, "--no-migrate", "--drain-timeout", "5"]
        self._command += ["--pidfile", folder / f"{number}.pid"]
        self._environment = {**os.environ, **SETTINGS, "CHAOS_LEDGER": str(folder / "ledger")}
        self._log = folder / f"{number}.log"
        self.start()

    def start(self) -> None:
        """Start it."""
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                self._command, cwd=SCRIPTS, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def workers(self) -> list[int]:
        """Return the pids of its workers."""
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def end(self, blow: signal.Signals) -> None:
        """End it by a signal; killed when that does not help in time."""
        self.process.send_signal(blow)
        try:
            self.process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Storm:
    """Strikes at random, and lets everything go on afterwards. The seed decides on the blows, not on what they meet."""

    def __init__(self, chance: random.Random, supervisors: list[Supervisor], server: Server, url: str) -> None:
        self._chance, self._supervisors, self._url = chance, supervisors, url
        self.server = server
        self._blows = (self._kill, self._stop, self._end, self._restart_server, self._end_sessions, self._lock)

    def strike(self) -> str:
        """Do one kind of damage and say which."""
        return self._chance.choice(self._blows)()

    def _kill(self) -> str:
        _send_all(self._some_worker(), signal.SIGKILL)
        return "a worker is killed"

    def _stop(self) -> str:
        supervisor = self._chance.choice(self._supervisors)
        workers = self._chance.random() < 0.5
        pids = self._some_worker() if workers else [supervisor.process.pid, *supervisor.workers()]
        seconds = self._chance.choice((0.5, 2.0, 5.0, 8.0))
        _send_all(pids, signal.SIGSTOP)
        threading.Timer(seconds, lambda: _send_all(pids, signal.SIGCONT)).start()
        return f"{'a worker' if workers else 'a supervisor with its workers'} is stopped for {seconds:g} s"

    def _end(self) -> str:
        blow = self._chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        supervisor = self._chance.choice(self._supervisors)
        # Otherwise it would wait for one that is stopped.
        _send_all([supervisor.process.pid, *supervisor.workers()], signal.SIGCONT)
        supervisor.end(blow)
        supervisor.start()
        return f"a supervisor gets {blow.name} and is started again"

    def _restart_server(self) -> str:
        blow = self._chance.choice((signal.SIGINT, signal.SIGQUIT))
        pid = int((self.server.folder / "data" / "postmaster.pid").read_text().split()[0])
        _send_all([pid], blow)
        while psutil.pid_exists(pid):
            clock.pause(POLL_SECONDS)
        with closing(self.server):
            self.server = open_server(self.server.folder, SERVER)
        return f"the server gets {blow.name} and is started again"

    def _end_sessions(self) -> str:
        count = self._chance.choice((1, 5, 100))
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid() order by random() limit %s",
                [count],
            )
        return f"up to {count} sessions are ended"

    def _lock(self) -> str:
        table, seconds = self._chance.choice(TABLES), self._chance.choice((1.0, 2.5, 4.0))
        try:
            with psycopg.connect(self._url) as connection:
                connection.execute(f"set lock_timeout = '5s'; lock table {table} in access exclusive mode".encode())
                clock.pause(seconds)
        except psycopg.OperationalError:
            return f"{table} could not be locked"
        return f"{table} was locked for {seconds:g} s"

    def _some_worker(self) -> list[int]:
        workers = self._chance.choice(self._supervisors).workers()
        return [self._chance.choice(workers)] if workers else []


class Feed(threading.Thread):
    """Starts workflows until it is told to stop, and notes what has to become of each."""

    def __init__(self, chance: random.Random, url: str) -> None:
        super().__init__(daemon=True)
        self._chance, self._url = chance, url
        self.expected: Expected = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        """Start one after the other."""
        kinds = (self._chain, self._chain, self._post, self._parent, self._endless)
        with DurableClient(self._url) as self._client:
            for number in itertools.count():
                self._chance.choice(kinds)(f"{number:05}", self._chance.randint(1, 5))
                if self.is_over.wait(self._chance.random() * 0.3):
                    return

    def _chain(self, name: str, length: int) -> None:
        kind, queue = self._chance.choice((("chain", "plain"), ("chain_in_thread", "limited")))
        self._start(queue, kind, f"chain-{name}", length)
        self.expected[f"chain-{name}"] = lambda status, made: status == "SUCCESS" and len(made) == length + 1

    def _post(self, name: str, length: int) -> None:
        self._start("plain", "receiver", f"receiver-{name}", length)
        self._start("plain", "sender", f"sender-{name}", f"receiver-{name}", length)
        self.expected[f"receiver-{name}"] = lambda _, received: received == list(range(length))
        self.expected[f"sender-{name}"] = lambda _, came: came == length

    def _parent(self, name: str, length: int) -> None:
        self._start("plain", "parent", f"parent-{name}", length)
        self.expected[f"parent-{name}"] = lambda _, total: total == 3 * length

    def _endless(self, name: str, length: int) -> None:
        workflow_id = f"endless-{name}"
        timeout = float(length) if self._chance.random() < 0.5 else None
        self._start("plain", "endless", workflow_id, timeout=timeout)
        if timeout is None:
            _persist(lambda: self._client.cancel_workflow(workflow_id))
        self.expected[workflow_id] = lambda status, _: status == "CANCELLED"

    def _start(self, queue: str, kind: str, workflow_id: str, *args: Any, timeout: float | None = None) -> None:
        options = WorkflowOptions(workflow_id=workflow_id, timeout=timeout)
        _persist(lambda: self._client.enqueue(queue, kind, *args, options=options))


def _send_all(pids: list[int], blow: signal.Signals) -> None:
    for pid in pids:
        # Some may have ended by themselves.
        with suppress(ProcessLookupError):
            os.kill(pid, blow)


def _persist(ask: Callable[[], Any]) -> None:
    """Ask until the database answers."""
    while True:
        try:
            ask()
        except ProviderUnavailable:
            clock.pause(POLL_SECONDS)
        except WorkflowConflict:
            # Of an answer that was lost.
            return
        else:
            return


def wait_for_the_end(url: str) -> int:
    """Wait until every workflow has ended; return how many have not."""
    deadline = clock.monotonic() + END_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute("select count(*) from dbos.workflow_status where completed_at is null").fetchone()
            left = row[0] if row else 0
            if not left or clock.monotonic() > deadline:
                return int(left)
            clock.pause(POLL_SECONDS)


def faults(url: str, ledger: Path, expected: Expected) -> Iterator[str]:
    """Yield what must never happen."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = (
            "select w.workflow_uuid, w.status, o.output from dbos.workflow_status w left join dbos.workflow_output o"
        )
        ends = {row[0]: row[1:] for row in connection.execute(f"{query} using (workflow_uuid)".encode())}
        waits = connection.execute("select count(*) from durust.waits").fetchone()
        query = """
            select max((select count(*) from durust.grants o
                          left join durust.executors e on e.executor_id = o.executor_id
                         where o.queue = g.queue and o.granted_at <= g.granted_at
                           and coalesce(least(o.ended_at, e.ended_at), g.granted_at + 1) > g.granted_at))
              from durust.grants g where g.queue = 'limited'"""
        at_once = connection.execute(query).fetchone()
    for workflow_id, is_right in expected.items():
        status, output = ends.get(workflow_id, ("missing", None))
        if not is_right(status, output and json.loads(output)):
            yield f"{workflow_id} ended as {status} with {output}"
    yield from (f"{each} ended as {status}" for each, (status, _) in ends.items() if status not in _ENDS)
    if waits != (0,):
        yield f"waits were left over: {waits}"
    if at_once and (at_once[0] or 0) > LIMIT:
        yield f"{at_once[0]} shares of a queue of {LIMIT} were held at once"
    reached: dict[str, int] = {}
    given: dict[tuple[str, int], str] = {}
    for workflow_id, place, made in map(json.loads, ledger.read_text().splitlines()):
        # A body begins only when the step before it is recorded. A process that is stopped in the instant between its
        # last look at its lease and this line would be told of here for nothing.
        if place < reached.get(workflow_id, 0):
            yield f"{workflow_id} ran step {place} again after step {reached[workflow_id]} had begun"
        reached[workflow_id] = max(place, reached.get(workflow_id, 0))
        if given.setdefault((workflow_id, place), made) != made:
            yield f"{workflow_id} began step {place} with two different results of the one before"


_ENDS = ("SUCCESS", "CANCELLED")


@contextmanager
def _stage() -> Iterator[tuple[Path, Server]]:
    folder = Path(tempfile.mkdtemp(prefix="durust-chaos-"))
    folder.chmod(0o711)
    try:
        yield folder, open_server(folder, SERVER)
    finally:
        # Whoever is left over from a storm that broke off leaves the server running.
        if (folder / "data" / "postmaster.pid").exists():
            open_server(folder, SERVER).close()
        shutil.rmtree(folder, ignore_errors=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", default=60.0, show_default=True, help="How long the storm lasts.")
@click.option("--seed", default=1, show_default=True, help="Which storm.")
def main(seconds: float, seed: int) -> None:
    """Let a storm go over two supervisors and their database, and judge what is left."""
    with _stage() as (folder, server):
        url = server.create_database("chaos")
        with closing(PostgresProvider(url)) as provider:
            provider.migrate()
        (folder / "ledger").touch()
        supervisors = [Supervisor(number, url, folder) for number in range(SUPERVISORS)]
        storm = Storm(random.Random(seed), supervisors, server, url)
        feed = Feed(random.Random(seed + 1), url)
        feed.start()
        end = clock.monotonic() + seconds
        try:
            while (left := end - clock.monotonic()) > 0:
                click.echo(f"{left:5.0f} s left: {storm.strike()}")
                clock.pause(min(PAUSE_SECONDS, max(0.0, end - clock.monotonic())))
            feed.is_over.set()
            feed.join()
            unended = wait_for_the_end(url)
            found = list(faults(url, folder / "ledger", feed.expected))
        finally:
            for supervisor in supervisors:
                supervisor.end(signal.SIGTERM)
            storm.server.close()
    for fault in found:
        click.echo(fault)
    click.echo(f"{len(feed.expected)} workflows with their children, {unended} not ended, {len(found)} faults")
    sys.exit(bool(found or unended))


if __name__ == "__main__":
    main()
