"""Bad input gets one clear line that names the thing and the remedy, and a documented exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import durust
from durust.commands.exits import Exit
from tests.support.processes import Spawn, Spawned
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

GOOD = """
import durust

durust.WorkflowQueue("good")

@durust.workflow
def hello(ctx: durust.SyncDurableContext, name: str) -> str:
    return f"hello {name}"
"""
BROKEN = {
    "missing": "import no_such_lib",
    "syntax": "def broken(:",
    "raising": "raise ValueError('two\\nlines')",
    "leaving": "raise SystemExit(3)",
}
NAIVE: Any = datetime.fromisoformat("2030-01-01")
NOBODY = "postgresql://somebody:secret@localhost:1/shop"

Command = Callable[..., Spawned]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an application, and some that do not load."""
    for name, text in {"good": GOOD, **BROKEN}.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.fixture
def command(spawn: Spawn, folder: Path) -> Command:
    """Return `command(*words)`, which runs the command line in the folder."""

    def run(*words: str | Path, **env: str) -> Spawned:
        return spawn(Path(sys.executable).with_name("durust"), *words, cwd=folder, env=env)

    return run


def complaint(process: Spawned, code: Exit) -> str:
    """Return the one line in which *process* complains, checked to be the only one, and its exit code."""
    assert process.wait() == code
    # The first line of a supervisor that has begun says what it serves.
    lines = [line for line in process.stderr.splitlines() if " workers of " not in line]
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("durust: ")
    return lines[0].removeprefix("durust: ")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("nowhere", "there is no module 'nowhere' in {folder} or among the installed ones; run this in the folder "),
        (
            "missing",
            "module 'missing' does not load: ModuleNotFoundError: No module named 'no_such_lib' (missing.py, line 1)",
        ),
        ("syntax", "module 'syntax' does not load: SyntaxError: invalid syntax (syntax.py, line 1)"),
        ("raising", "module 'raising' does not load: ValueError: two lines (raising.py, line 1)"),
        ("leaving", "module 'leaving' does not load: SystemExit: 3 (leaving.py, line 1)"),
        ("good:engine", "module 'good' has no 'engine'"),
        ("good:hello", "good:hello is of type Workflow; name a DurableEngine, or just the module"),
    ],
)
def test_an_application_that_does_not_load_ends_the_supervisor(
    command: Command, make_database: MakeDatabase, folder: Path, module: str, line: str
) -> None:
    started = command("up", module, "--workers", "2", "--db", make_database())

    assert complaint(started, Exit.FAILED).startswith(line.format(folder=folder))


def test_the_traceback_is_there_for_who_asks(command: Command, make_database: MakeDatabase) -> None:
    started = command("up", "raising", "--workers", "1", "--verbose", "--db", make_database())

    assert started.wait() == Exit.FAILED
    assert "Traceback (most recent call last)" in started.stderr
    assert 'raising.py", line 1' in started.stderr


def test_an_unknown_queue_ends_the_supervisor(command: Command, make_database: MakeDatabase) -> None:
    started = command("up", "good", "--queues", "nowhere", "--db", make_database())

    said = complaint(started, Exit.NOT_FOUND)
    assert said == "there is no queue 'nowhere'; declare it with WorkflowQueue('nowhere') (declared: good)"


@pytest.mark.parametrize("words", [("up", "good"), ("db", "status"), ("db", "migrate")], ids=" ".join)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    command: Command, words: tuple[str, ...]
) -> None:
    said = complaint(command(*words, "--db", NOBODY), Exit.UNREACHABLE)

    assert said.startswith("postgresql://somebody:***@localhost:1/shop does not answer: ")
    assert "Connection refused" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("good.py", Exit.FAILED, "does not fit: found a file that is no SQLite database"),
        ("", Exit.USAGE, "the path is a folder; name a file in it"),
        ("nowhere/shop.db", Exit.USAGE, "nowhere does not exist; create it, or choose another path"),
    ],
)
def test_a_file_that_is_no_database_is_named(command: Command, folder: Path, path: str, code: Exit, line: str) -> None:
    said = complaint(command("up", "good", "--db", f"sqlite:///{folder / path}"), code)

    assert str(folder / path) in said
    assert line in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("up", "good", "--db", "mysql://shop"), "url='mysql://shop': must start with one of postgresql://, "),
        (("db", "status", "--db", "shop.db"), "url='shop.db': must start with one of postgresql://, "),
        (("up", "good", "--db", "sqlite://shop"), "url='sqlite://shop': write sqlite:///relative/path.db or "),
        (
            ("up", "good", "--db", "memory://"),
            "memory://: it lives in one process, and `durust up` starts several; ",
        ),
        (("up", "good.py"), "MODULE='good.py': write the module's name, not its file: good"),
        (("up", "good", "--workers", "some"), "workers='some': must be `auto` or a number from 1 to "),
        (("up", "good", "--slots", "0"), "slots=0: must be more than 0"),
        (("up", "good", "--lease-seconds", "-1"), "lease_seconds=-1.0: must be more than 0"),
        (("up", "good", "--drain-timeout", "-1"), "drain_seconds=-1.0: must be more than 0"),
        (("up", "good", "--hang-timeout", "-1"), "hang-timeout=-1.0: must be 0 (never), or 1 s or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(
    command: Command, words: tuple[str, ...], line: str
) -> None:
    assert complaint(command(*words), Exit.USAGE).startswith(line)


def test_a_second_supervisor_is_told_who_holds_the_pidfile(
    command: Command, make_database: MakeDatabase, folder: Path
) -> None:
    pidfile, url = folder / "held.pid", make_database()
    first = command("up", "good", "--workers", "1", "--db", url, "--pidfile", pidfile)
    eventually(lambda: " is up" in first.stderr)

    said = complaint(command("up", "good", "--db", url, "--pidfile", pidfile), Exit.CONFLICT)

    assert said == (
        f"a supervisor (pid {first.pid}) already holds {pidfile}; stop it, or give this one a --pidfile of its own"
    )
    assert first.running


def test_orders_to_nobody_say_so(command: Command, folder: Path) -> None:
    said = complaint(command("ctl", "status", "--pidfile", folder / "free.pid"), Exit.NOT_FOUND)

    assert said.startswith(f"no supervisor holds {folder / 'free.pid'}; ")


# In a program


@durust.workflow(name="bad_input.greet")
def greet(ctx: durust.SyncDurableContext, name: str, seconds: float = 0.0) -> str:
    ctx.sleep(seconds)
    return f"hello {name}"


@durust.workflow(name="bad_input.loose")
def loose(ctx: durust.SyncDurableContext, where: str) -> object:
    step = ctx.step("make", lambda: {"deep": [object()]}) if where == "step" else None
    return {1, 2} if where == "result" else step


@pytest.fixture(scope="module")
def engine() -> Iterator[durust.DurableEngine]:
    """Return an engine in memory."""
    with durust.DurableEngine("memory://") as engine:
        yield engine


@pytest.mark.parametrize(
    ("attempt", "error", "said"),
    [
        (lambda e: e.start("nobody"), durust.WorkflowNotRegistered, "no workflow is registered as 'nobody'; decorate "),
        (lambda e: e.start(greet), TypeError, "workflow 'bad_input.greet': "),
        (lambda e: e.start(greet, "ada", 1.0, 2.0), TypeError, "workflow 'bad_input.greet': "),
        (lambda e: e.start(greet, nam="ada"), TypeError, "workflow 'bad_input.greet': "),
        (
            lambda e: e.start(greet, 7),
            durust.SerializationError,
            "argument 'name' of greet: str wanted, an int given",
        ),
        (lambda e: e.start(greet, object()), durust.SerializationError, "argument 'name' of greet: an object cannot "),
        (lambda e: e.start(greet, "ada", -1.0), durust.InvalidArgument, "seconds=-1.0: must be a finite duration"),
        (lambda e: e.start(loose, "step"), durust.SerializationError, "result of step 'make', at ['deep'][0]: "),
        (lambda e: e.start(loose, "result"), durust.SerializationError, "result of workflow 'bad_input.loose': a set "),
        (lambda e: e.enqueue("nowhere", greet, "ada"), durust.QueueNotFound, "there is no queue 'nowhere'; declare "),
        (lambda _: durust.WorkflowOptions(delay=-1), durust.InvalidArgument, "delay=-1: must be a finite duration"),
        (
            lambda _: durust.WorkflowOptions(delay=NAIVE),
            durust.InvalidArgument,
            "delay=datetime.datetime(2030, 1, 1, 0, 0): must be a number of seconds or a timedelta",
        ),
        (
            lambda e: e.start(greet, "ada", options={"delay": 1}),
            durust.InvalidArgument,
            "options={'delay': 1}: must be a WorkflowOptions, as in options=WorkflowOptions(delay=5)",
        ),
        (lambda e: e.retrieve_workflow("nobody"), durust.WorkflowNotFound, "there is no workflow 'nobody' in this "),
        (lambda _: greet("ada"), TypeError, "workflow 'bad_input.greet' is not called directly: use engine.start("),
        (
            lambda _: durust.DurableEngine("memory://").start(greet, "ada"),
            durust.NotLaunched,
            "engine.run_workflow: the engine is not running; call engine.launch() first",
        ),
        (lambda _: durust.DurableEngine("mysql://x").launch(), durust.InvalidArgument, "url='mysql://x': must start "),
        (
            lambda _: durust.DurableEngine(NOBODY).launch(),
            durust.ProviderUnavailable,
            "postgresql://somebody:***@localhost:1/shop does not answer: ",
        ),
    ],
)
def test_a_program_gets_an_error_that_says_what_to_do(
    engine: durust.DurableEngine, attempt: Callable[[Any], object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        attempt(engine)

    assert str(caught.value).startswith(said)


def test_failpoints_that_cannot_be_meant_are_refused_before_anything_starts(command: Command) -> None:
    said = complaint(command("--version", FAILPOINTS="after_charge"), Exit.USAGE)

    assert said == "FAILPOINTS='after_charge': write name=action"


def test_a_database_of_another_type_is_named() -> None:
    wrong: Any = 5

    with pytest.raises(durust.InvalidArgument, match=r"database=5: must be a StateProvider or a URL"):
        durust.DurableEngine(wrong).launch()
