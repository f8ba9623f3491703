"""The page of commands: its examples run, it has one of each command, and it names each key of a document."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import test_queues, test_schedules, test_workflows
from tests.commands.conftest import Durust
from tests.commands.test_twins import leaves
from tests.examples.guides import blocks, check_options, commands
from tests.support.processes import ROOT, Spawn

PAGE = ROOT / "docs" / "commands.md"
COMMAND = "from durust.supervisor.cli import main; main()"
FAILS = re.compile(r"# exits with (\d)")


def indented() -> Iterator[list[str]]:
    """Return the words of each command that the page shows without running it."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("    ") and "durust" in line:
            shown = re.search(r"durust [^)\"#>]*", line)
            assert shown is not None
            yield shlex.split(shown[0])


def matches(printed: str, shown: str) -> bool:
    """Tell whether a command printed what the page shows, in which `...` stands for anything."""
    checker = doctest.OutputChecker()
    return checker.check_output(f"{shown}\n", printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


def test_the_examples_print_what_they_show(
    durust: Durust, spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DURUST_DATABASE_URL", f"sqlite:///{tmp_path}/durust.db")
    wrong = []
    for block in blocks(PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
            continue
        lines = iter(block.text.splitlines())
        for number, words, shown in commands(block):
            line = next(line for line in lines if line.startswith("$ "))
            said = FAILS.search(line)
            if "--app" in words:
                # In a process of its own, because it loads the page's code.
                ran = spawn("-c", COMMAND, *words[1:], cwd=tmp_path)
                code, printed = ran.wait(), ran.stdout + ran.stderr
            else:
                code, printed = 0, ""
                for part in shlex.join(words).split("'|'"):
                    told = durust(*shlex.split(part)[1:], stdin=printed)
                    code, printed = told.exit_code, told.stdout + told.stderr
            if code != (int(said[1]) if said else 0) or not matches(printed, shown):
                wrong.append(f"line {number}: {shlex.join(words)} exited with {code} and printed:\n{printed}")

    assert wrong == []


def test_each_command_has_an_example() -> None:
    shown = [words for block in blocks(PAGE) if block.language == "console" for _, words, _ in commands(block)]
    # Those of a pipe are one line.
    parts = [shlex.split(part) for words in shown for part in shlex.join(words).split("'|'")]
    parts += list(indented())
    for words in parts:
        check_options([word for word in words[1:] if word != "-"], "docs/commands.md")
    examples = {" ".join(words[:length]) for words in parts for length in (2, 3)}

    assert [context.command_path for context in leaves() if context.command_path not in examples] == []


def test_each_key_of_a_document_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8").partition("## The documents")[2]))
    keys = {
        *test_workflows.WORKFLOW_KEYS,
        *test_workflows.VALUE_KEYS,
        *test_workflows.STEP_KEYS,
        *test_queues.QUEUE_KEYS,
        *test_schedules.SCHEDULE_KEYS,
    }

    assert keys - named == set()
