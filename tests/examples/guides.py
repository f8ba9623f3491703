"""Runs a page of the guides: its blocks of Python in order in one namespace, its files and commands as a reader would.

Run as `python -m tests.examples.guides PAGE` in a folder of its own. A block of `python` is executed; one that names a
file as well, `python shop.py`, is written to it. In a block of `console` each `$ python FILE` is run and has to print
what stands below it; of each `$ durust ...` only the command and its options are checked.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click

from durust.supervisor.cli import main

# What any command of a guide takes at most.
COMMAND_SECONDS = 60.0
_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<file>[\w.]+))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """The line of the page on which its text begins."""
    language: str
    file: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that name a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, found["language"], found["file"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


def run(page: Path) -> None:
    """Run a page in the current folder. Raises whatever a block raises, with the page and its line in the traceback."""
    # As for a program, whose classes are found by the name of their module; a page may well be called `time`.
    module = sys.modules["guide"] = ModuleType("guide")
    for block in blocks(page):
        if block.language == "python" and block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # Moved down to its own line, so that tracebacks and the sources of functions are those of the page.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(page), "exec"), module.__dict__)
        elif block.language == "console":
            for number, command, printed in commands(block):
                check(command, printed, f"{page}, line {number}")


def commands(block: Block) -> Iterator[tuple[int, list[str], str]]:
    """Return the commands of a console, each with its line and what it is shown to print."""
    lines = block.text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        words = shlex.split(lines[at].removeprefix("$ "), comments=True)
        yield block.line + at, words, "\n".join(lines[at + 1 : end])


def check(words: list[str], printed: str, where: str) -> None:
    """Run a program of the guide, or look whether a command of durust is there. Raises `AssertionError`."""
    env = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    command, *arguments = words[len(env) :]
    if command == "durust":
        check_options(arguments, where)
        return
    if command != "python":
        raise AssertionError(f"{where}: only `python` and `durust` are known here, not {command!r}")
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    killed = ["Killed"] if done.returncode == -signal.SIGKILL else []
    seen = "\n".join([*done.stdout.splitlines(), *killed])
    if seen != printed or (done.returncode and not killed):
        raise AssertionError(
            f"{where}: printed {seen!r} and not {printed!r}, exit code {done.returncode}\n{done.stderr}"
        )


def check_options(words: list[str], where: str) -> None:
    """Look whether a command has the options that it is shown with. Raises `AssertionError`."""
    command: click.Command = main
    for word in words:
        if isinstance(command, click.Group):
            if word not in command.commands:
                raise AssertionError(f"{where}: `durust` has no command {word!r}")
            command = command.commands[word]
        elif word.startswith("-") and word not in {name for each in command.params for name in each.opts}:
            raise AssertionError(f"{where}: {command.name} has no option {word}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
