"""Bad input gets one clear line and a documented exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from durust.storage.opening import VARIABLES
from tests.supervisor.conftest import APPS, StartUp
from tests.support.processes import Spawned

Durust = Callable[..., Spawned]


def last_line(process: Spawned) -> str:
    assert "Traceback" not in process.stderr, process.stderr
    return process.stderr.splitlines()[-1]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/durust.db"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("broken", "module 'broken' does not load: RuntimeError: the till is empty"),
        ("engined:motor", "module 'engined' has no 'motor'"),
        ("engined:not_an_engine", "engined:not_an_engine is of type str; name a DurableEngine"),
        ("nowhere", "there is no module 'nowhere' in"),
        ("launched:engine", "was launched already; a worker does that, so write it below `if __name__ =="),
        (
            "idle",
            "idle: no workflow is registered there, so there is nothing to run; decorate one with @durust.workflow",
        ),
    ],
)
def test_an_application_that_does_not_load_is_named_once_and_not_tried_for_ever(
    up: StartUp, database: str, module: str, line: str
) -> None:
    process = up(module, "--workers", "2", url=database).process

    assert process.wait() == 1
    assert line in last_line(process)
    assert process.stderr.count(line) == 1


def test_a_database_that_only_the_application_names_is_asked_for(
    durust: Durust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    process = durust(
        "up",
        "engined:engine",
        "--workers",
        "1",
        "--pidfile",
        str(tmp_path / "up.pid"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(APPS)},
    )

    assert process.wait() == 1
    assert "names a database of its own, which the supervisor cannot see: name it here too, by --db" in last_line(
        process
    )


def test_verbose_shows_where_an_application_failed(up: StartUp, database: str) -> None:
    process = up("broken", "--workers", "1", "--verbose", url=database).process

    assert process.wait() == 1
    assert 'raise RuntimeError("the till is\\nempty")' in process.stderr


@pytest.mark.parametrize(("module", "how"), [("crashing", "was killed by SIGSEGV"), ("hungry", "ran out of memory")])
def test_an_application_that_ends_its_process_on_loading_is_given_up(
    up: StartUp, database: str, module: str, how: str
) -> None:
    process = up(module, "--workers", "1", url=database).process

    assert process.wait() == 1
    assert f"no worker came up in 3 starts, so there will be no more: the last one {how}" in process.stderr


@pytest.mark.parametrize(
    ("url", "code", "line"),
    [
        ("memory://", 2, "it lives in one process, and `durust up` starts several"),
        ("mysql://localhost/x", 2, "must start with one of postgresql://"),
        ("postgresql://127.0.0.1:1/x", 5, "does not answer"),
        ("sqlite:///nowhere/at/all.db", 2, "nowhere/at does not exist; create it, or choose another path"),
    ],
)
def test_a_database_that_cannot_serve_is_named_and_no_worker_starts(
    up: StartUp, url: str, code: int, line: str
) -> None:
    process = up("steps", "--workers", "1", url=url).process

    assert process.wait() == code
    assert line in last_line(process)
    assert "worker" not in process.stderr


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--workers", "many"], 2, "must be `auto` or a number"),
        (["--slots", "0"], 2, "must be more than 0"),
        (["--lease-seconds", "-1"], 2, "must be more than 0"),
        (["--hang-timeout", "-1"], 2, "must be 0 (never), or 1 s or more"),
        (["--queues", "nowhere"], 3, "there is no queue 'nowhere'; declare it with WorkflowQueue('nowhere')"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(
    up: StartUp, database: str, options: list[str], code: int, line: str
) -> None:
    process = up("steps", *options, url=database).process

    assert process.wait() == code
    assert line in last_line(process)


def test_a_file_s_name_is_answered_with_the_module_s(up: StartUp, database: str) -> None:
    process = up("steps.py", url=database).process

    assert process.wait() == 2
    assert "write the module's name, not its file: steps" in last_line(process)


def test_a_second_supervisor_on_one_pidfile_is_refused(up: StartUp, durust: Durust, database: str) -> None:
    first = up("steps", "--workers", "1", url=database)
    first.wait_until_up(1)

    second = durust("up", "steps", "--db", database, "--pidfile", str(first.pidfile))

    assert second.wait() == 4
    assert f"a supervisor (pid {first.pid}) already holds {first.pidfile}" in last_line(second)


@pytest.mark.parametrize("order", ["status", "drain", "stop"])
def test_an_order_to_nobody_is_not_found(durust: Durust, tmp_path: Path, order: str) -> None:
    process = durust("ctl", order, "--pidfile", str(tmp_path / "none.pid"))

    assert process.wait() == 3
    assert "no supervisor holds" in last_line(process)


def test_the_version_is_told(durust: Durust) -> None:
    process = durust("--version")

    assert process.wait() == 0
    assert process.stdout.startswith("durust, version ")
