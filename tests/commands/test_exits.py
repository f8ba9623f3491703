"""What goes wrong is one line, without a traceback, and an exit code that says which kind it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from durust.commands import workflow as commands
from durust.storage.provider import StateProvider
from tests.commands.conftest import Durust

READS = [
    "workflow list",
    "queue list",
    "schedule list",
    "version list",
    "version stranded",
    "db purge --keep 1",
    "db status",
]


@pytest.mark.parametrize("command", READS)
def test_a_database_that_was_not_migrated_names_the_remedy(durust: Durust, tmp_path: Path, command: str) -> None:
    refused = durust(*command.split(), "--db", f"sqlite:///{tmp_path}/new.db")

    assert refused.exit_code == 1
    assert "`durust db migrate`" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", READS)
def test_a_database_that_does_not_answer_has_a_code_of_its_own(durust: Durust, command: str) -> None:
    refused = durust(*command.split(), "--db", "postgresql://127.0.0.1:1/x")

    assert refused.exit_code == 5
    assert len(refused.stderr.splitlines()) == 1


def test_a_database_in_memory_is_no_database_for_a_command(durust: Durust) -> None:
    refused = durust("workflow", "list", "--db", "memory://")

    assert refused.exit_code == 2
    assert "it lives in one process, and a command is another one" in refused.stderr


def test_an_application_without_a_version_is_told_what_registers_one(durust: Durust, provider: StateProvider) -> None:
    refused = durust("version", "adopt")

    assert refused.exit_code == 3
    assert refused.stderr == (
        "durust: no version of application 'durust' is registered in this database: `durust up MODULE` registers the "
        "one that it runs; --app-name names another application\n"
    )


def test_a_bug_shows_its_traceback_only_on_demand(
    durust: Durust, provider: StateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "show_list", lambda *_: 1 / 0)

    plain, verbose = durust("workflow", "list"), durust("workflow", "list", "--verbose")

    assert (plain.exit_code, verbose.exit_code) == (1, 1)
    assert plain.stderr == (
        "durust: ZeroDivisionError: division by zero; this is a bug of durust's, and --verbose shows where\n"
    )
    assert "Traceback" in verbose.stderr
