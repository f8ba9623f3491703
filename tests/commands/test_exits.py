"""What goes wrong is one line, without a traceback, and an exit code that says which kind it is."""

from __future__ import annotations

import subprocess
import sys
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


@pytest.mark.parametrize("command", ["status", "migrate"])
def test_a_schema_in_memory_is_none_to_look_after(durust: Durust, command: str) -> None:
    refused = durust("db", command, "--db", "memory://")

    assert refused.exit_code == 2
    assert "it lives in one process" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runn"], "no such command 'runn'. Did you mean 'run'?; see `durust --help`"),
        (["workflow", "show"], "missing argument 'ID'; see `durust workflow show --help`"),
        (
            ["workflow", "list", "--limit", "0"],
            "'--limit': 0 is not in the range x>=1; see `durust workflow list --help`",
        ),
        (["workflow", "list", "--since", "2026-01-03"], "write 2026-01-03T00:00Z for UTC, or an offset as in "),
        (["workflow", "list", "--db", ""], "url='': must start with one of postgresql://"),
        (["workflow", "list", "--db", "postgres"], "url='postgres': must start with one of postgresql://"),
        (["run", "buy"], "say either --app MODULE, to run it here"),
    ],
)
def test_wrong_usage_is_one_line(durust: Durust, words: list[str], said: str) -> None:
    refused = durust(*words)

    assert refused.exit_code == 2
    assert refused.stderr.startswith("durust: ")
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_list_of_commands_cuts_no_sentence_off(durust: Durust) -> None:
    for group in ([], ["workflow"], ["queue"], ["schedule"], ["db"], ["version"], ["ctl"]):
        assert "..." not in durust(*group, "--help").stdout.partition("Commands:")[2]


def test_an_interrupted_command_says_so_in_one_line(
    durust: Durust, provider: StateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "show_list", interrupt)

    ended = durust("workflow", "list")

    assert (ended.exit_code, ended.stderr) == (130, "durust: interrupted\n")


def test_what_the_system_refuses_is_named_without_its_number(
    durust: Durust, provider: StateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device", "/there")

    monkeypatch.setattr(commands, "show_list", fill)

    failed = durust("workflow", "list")

    assert (failed.exit_code, failed.stderr) == (1, "durust: /there: No space left on device\n")


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


def test_bytes_that_are_no_text_are_no_document(durust: Durust, provider: StateProvider, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"\xff\xfe\x00")

    refused = durust("workflow", "import", str(tmp_path / "damaged"))

    assert refused.exit_code == 2
    assert refused.stderr.startswith("durust: line=1: is no document of a workflow: ")


def test_an_output_that_was_closed_is_no_bug(provider: StateProvider, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("durust")

    ended = subprocess.run(["sh", "-c", f"{command} workflow list >&-"], cwd=tmp_path, capture_output=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_module_is_the_command_line_too(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "durust", "runn"]

    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith("see `python -m durust --help`\n")
