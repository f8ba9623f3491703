"""The demo: index Python's standard library with worker processes, kill two of them, and lose nothing.

The judge is not durust: every step body first writes a line to a ledger, and a plain loop over the same files says what
the counts have to be.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from durust import DurableEngine, DurustError, WorkflowOptions, clock
from durust.embedded import default_folder, open_server
from durust.supervisor.remote import Overview, Remote

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import index_stdlib  # noqa: E402  it stands in the folder above, where `durust up` will find it too

STEPS = ("read", "parse", "record")
# Early enough that most of the work is still to do, and late enough that much of it has to be kept.
KILL_AT = (0.25, 0.60)
# Several for each core, so that a worker that is killed at any moment holds some, and a commit costs nobody the core.
SLOTS = 8
# Well below the time in which a worker finishes what it holds.
POLL_SECONDS = 0.1
# What a stopped worker has sent to the database before is committed within this.
SETTLE_SECONDS = 0.05
# Five times the usual; something hangs, and it is better to say so.
RUN_SECONDS_MAX = 300
# A drain of idle workers takes a second; one of workers that hang ends with the supervisor's own deadline.
STOP_SECONDS = 45
# What is shown of the supervisor's last words when it ends unasked.
LAST_LINES = 20


class Failure(Exception):
    """The demo did not show what it promises."""


@dataclass(frozen=True)
class Kill:
    """One worker killed while it was stopped, and what stood fast at that moment."""

    pid: int
    held: frozenset[str]
    """The ids of the workflows that it was running."""
    recorded: frozenset[tuple[str, str]]
    """The steps of these that were recorded: none of them may ever run again."""
    ledger_bytes: int
    """How long the ledger was."""


class Records:
    """What the database says, asked by plain SQL."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def ended(self) -> int:
        """Count the workflows that have ended."""
        return int(self._one("select count(*) from dbos.workflow_status where completed_at is not null")[0])

    def running_on(self, executor_id: str) -> frozenset[str]:
        """Return the ids of the workflows that an executor runs."""
        query = "select workflow_uuid from dbos.workflow_status where executor_id = %s and status = 'PENDING'"
        return frozenset(row[0] for row in self._connection.execute(query, [executor_id]))

    def recorded(self, ids: frozenset[str]) -> frozenset[tuple[str, str]]:
        """Return the recorded steps of these workflows."""
        query = "select workflow_uuid, function_name from dbos.operation_outputs where workflow_uuid = any(%s)"
        return frozenset(tuple(row) for row in self._connection.execute(query, [list(ids)]))

    def resumed(self) -> frozenset[str]:
        """Return the ids of the workflows that were started more than once."""
        query = "select workflow_uuid from dbos.workflow_status where recovery_attempts > 1"
        return frozenset(row[0] for row in self._connection.execute(query))

    def totals(self) -> tuple[int, int]:
        """Count the workflows that succeeded, and the recorded steps."""
        succeeded = self._one("select count(*) from dbos.workflow_status where status = 'SUCCESS'")
        recorded = self._one("select count(*) from dbos.operation_outputs")
        return int(succeeded[0]), int(recorded[0])

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self._connection.execute(query.encode()).fetchone()
        return row or (0,)


class Fleet:
    """The supervisor as a user starts it, and what it says."""

    def __init__(self, url: str, workers: str, folder: Path, say: Any) -> None:
        self._say, self._pidfile = say, folder / "supervisor.pid"
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._remote: Remote | None = None
        durust = Path(sys.executable).with_name("durust")
        arguments = ["--workers", workers, "--slots", str(SLOTS), "--queues", "index", "--db", url]
        self._process = subprocess.Popen(
            [durust, "up", "index_stdlib", *arguments, "--pidfile", self._pidfile],
            cwd=EXAMPLES,
            env={
                **os.environ,
                "INDEX_LEDGER": str(folder / "ledger"),
                "INDEX_FILE": str(folder / "index"),
                # Old tests of the library hold escapes that newer parsers warn of.
                "PYTHONWARNINGS": "ignore",
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal is for the demo, which then ends the supervisor in order.
            start_new_session=True,
        )
        threading.Thread(target=self._relay, daemon=True).start()

    def overview(self) -> Overview | None:
        """Ask the supervisor how it stands; None while it is just starting. Raises `Failure` when it has ended."""
        if (code := self._process.poll()) is not None:
            raise Failure(f"`durust up` ended with code {code}:\n" + "\n".join(self._last))
        try:
            self._remote = self._remote or Remote(self._pidfile)
            return self._remote.status()
        except DurustError:
            return None

    def stop(self) -> None:
        """End the supervisor in order."""
        if self._remote is not None:
            self._remote.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _relay(self) -> None:
        for line in self._process.stderr or ():
            self._last.append(line.rstrip())
            self._say(line.rstrip())


class Board:
    """What the terminal shows: a bar, and a line for each worker; or, without a terminal, a line for each event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def say(self, line: str) -> None:
        """Say what happened."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Any]:
        """Show a bar, and return what moves it: `show(done, overview)`."""
        task = self._progress.add_task(title, total=total)

        def show(done: int, overview: Overview | None = None) -> None:
            self._progress.update(task, completed=done)
            self._live.update(Group(self._progress, self._table(overview)) if overview else self._progress)

        if self._console.is_terminal:
            with self._live:
                yield show
        else:
            yield show
        self._progress.remove_task(task)

    @staticmethod
    def _table(overview: Overview) -> Table:
        table = Table("worker", "state", "pid", "running", "done", box=None)
        for worker in overview.workers:
            counts = (worker.pid, worker.running, worker.done)
            table.add_row(str(worker.index), worker.state, *map(str, counts))
        return table


def library_files(limit: int | None) -> list[str]:
    """Return the module files of the standard library, tests included, or the *limit* largest of them."""
    found = [
        path
        for path in index_stdlib.STDLIB.rglob("*.py")
        if path.is_file() and not {"site-packages", "dist-packages"} & set(path.parts)
    ]
    if limit is not None:
        found = sorted(found, key=lambda path: path.stat().st_size)[-limit:]
    return sorted(path.relative_to(index_stdlib.STDLIB).as_posix() for path in found)


def run_and_kill(fleet: Fleet, records: Records, board: Board, ledger: Path, total: int) -> list[Kill]:
    """Follow the work to its end, kill a worker at each of the chosen moments, and return the kills."""
    kills: list[Kill] = []
    overview: Overview | None = None
    deadline = clock.monotonic() + RUN_SECONDS_MAX
    with board.bar("workflows", total) as show:
        while (ended := records.ended()) < total:
            answer = fleet.overview()
            # A supervisor that is too busy to answer keeps its last lines on the screen.
            overview = answer or overview
            show(ended, overview)
            due = len(kills) < len(KILL_AT) and ended >= total * KILL_AT[len(kills)]
            if due and answer and (kill := kill_one(answer, records, ledger)):
                kills.append(kill)
                board.say(f"{ended / total:.0%}: killed pid {kill.pid} while it ran {len(kill.held)} workflows")
            if clock.monotonic() > deadline:
                raise Failure(f"{total - ended} workflows have not ended after {RUN_SECONDS_MAX} s")
            clock.pause(POLL_SECONDS)
    if len(kills) < len(KILL_AT):
        raise Failure(f"the work ended after {len(kills)} of {len(KILL_AT)} kills")
    return kills


def kill_one(overview: Overview, records: Records, ledger: Path) -> Kill | None:
    """Kill a worker with SIGKILL that surely has workflows in flight; None when there is none such right now."""
    for worker in sorted(overview.workers, key=lambda worker: worker.running, reverse=True):
        if worker.state != "LIVE":
            continue
        # A stopped process finishes nothing, so what the database says of it stays true until it is killed.
        os.kill(worker.pid, signal.SIGSTOP)
        clock.pause(SETTLE_SECONDS)
        if held := records.running_on(worker.executor_id):
            kill = Kill(worker.pid, held, records.recorded(held), ledger.stat().st_size)
            os.kill(worker.pid, signal.SIGKILL)
            return kill
        os.kill(worker.pid, signal.SIGCONT)
    return None


def judge(kills: Sequence[Kill], records: Records, ledger: Path, total: int) -> int:
    """Check what the kills led to; return how many step bodies ran again. Raises `Failure`."""
    resumed = records.resumed()
    text = ledger.read_bytes()
    for kill in kills:
        if not kill.held & resumed:
            raise Failure(f"no workflow of the killed pid {kill.pid} was resumed")
        if again := set(_entries(text[kill.ledger_bytes :])) & kill.recorded:
            raise Failure(f"recorded before the kill of pid {kill.pid} and run again after it: {sorted(again)}")
    bodies = Counter(_entries(text))
    for (workflow_id, step), times in bodies.items():
        if times > 1 + sum(workflow_id in kill.held for kill in kills):
            raise Failure(f"step {step} of {workflow_id} ran {times} times, more often than its workers were killed")
    if (counted := records.totals()) != (total, total * len(STEPS)):
        raise Failure(f"the database holds {counted} workflows and steps, not {total, total * len(STEPS)}")
    return bodies.total() - len(bodies)


def _entries(ledger: bytes) -> Iterator[tuple[str, str]]:
    for line in ledger.decode().splitlines():
        step, _, path = line.partition(" ")
        yield path, step


def count_plainly(paths: Sequence[str], board: Board) -> dict[str, dict[str, Any]]:
    """Index the files by a plain loop, without durust."""
    warnings.simplefilter("ignore")
    plain = {}
    with board.bar("plain loop", len(paths)) as show:
        for done, path in enumerate(paths, 1):
            plain[path] = {"sha256": index_stdlib.read(path), **index_stdlib.parse(path)}
            show(done)
    return plain


def compare(plain: dict[str, dict[str, Any]], results: dict[str, dict[str, int]], index: Path) -> None:
    """Compare what the workflows returned and what they recorded with the plain loop. Raises `Failure`."""
    written: dict[str, dict[str, Any]] = {}
    for line in index.read_text().splitlines():
        entry = json.loads(line)
        written[entry.pop("path")] = entry
    for path, entry in plain.items():
        counts = {name: number for name, number in entry.items() if name != "sha256"}
        if results[path] != counts or written.get(path) != entry:
            raise Failure(f"{path}: the loop says {entry}, the index {written.get(path)}, the workflow {results[path]}")


@contextmanager
def work_folder(base: Path) -> Iterator[Path]:
    """Make the folder for the ledger and the index; refuse a second demo at the same time. Raises `Failure`."""
    base.mkdir(parents=True, exist_ok=True)
    with (base / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another demo uses {base}; wait for it, or name another --folder") from None
        folder = Path(tempfile.mkdtemp(prefix="durust-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def show(base: Path, folder: Path, workers: str, limit: int | None, console: Console) -> None:
    """Run the demo. Raises `Failure` for whatever is not as promised."""
    board, ledger = Board(console), folder / "ledger"
    paths = library_files(limit)
    with open_server(base) as server:
        board.say(f"Postgres runs in {base}")
        server.drop_database("demo")
        url = server.create_database("demo")
        # This process only enqueues: it serves no queue itself.
        with DurableEngine(url, queues=()) as engine:
            options = [WorkflowOptions(workflow_id=path) for path in paths]
            arguments = [(path,) for path in paths]
            handles = engine.enqueue_many("index", index_stdlib.index_file, arguments, options=options)
            board.say(f"{len(paths)} files of {index_stdlib.STDLIB} are queued")
            began, records, fleet = clock.monotonic(), Records(url), Fleet(url, workers, folder, board.say)
            try:
                kills = run_and_kill(fleet, records, board, ledger, len(paths))
                seconds = clock.monotonic() - began
                results = {handle.id: handle.get_result() for handle in handles}
            finally:
                fleet.stop()
            again = judge(kills, records, ledger, len(paths))
    compare(count_plainly(paths, board), results, folder / "index")
    board.say("the plain loop over the same files counts the same")
    table = Table("", "", show_header=False)
    table.add_row("files", f"{len(paths):,}")
    for name in ("functions", "classes", "lines"):
        table.add_row(name, f"{sum(counts[name] for counts in results.values()):,}")
    table.add_row("workflows run", f"{len(paths):,}")
    table.add_row("steps run", f"{len(paths) * len(STEPS) + again:,}")
    table.add_row("steps that ran again after a kill", f"{again:,}")
    table.add_row("seconds", f"{seconds:.1f}")
    console.print(table)


@click.command()
@click.option("--files", type=click.IntRange(min=60), help="Only so many files, the largest ones.")
@click.option("--workers", default="auto", show_default=True, help="Processes; `auto` is one for each core.")
@click.option("--folder", type=click.Path(path_type=Path), envvar="DURUST_DEMO_FOLDER", help="Where Postgres runs.")
def main(files: int | None, workers: str, folder: Path | None) -> None:
    """Index Python's standard library with durust, kill two workers on the way, and compare with a plain loop."""
    # A demo that is ended from outside takes its supervisor and its database with it, as one that ends by itself does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    console = Console()
    base = (folder or default_folder().with_name("demo")).absolute()
    try:
        with work_folder(base) as made:
            show(base, made, workers, files, console)
    except (Failure, DurustError, OSError) as error:
        complaints = Console(stderr=True)
        complaints.print(f"failed: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
