"""What the README shows is run as it stands there."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import psycopg
import pytest

from durust.commands.exits import Exit
from durust.supervisor.cli import main
from tests.support.processes import ROOT, Spawn
from tests.support.server import MakeDatabase
from tests.support.waiting import eventually

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
THANKS = "thank you, ada: charge of 1999 for ada\n"

Rows = list[tuple[object, ...]]


def block(language: str, number: int = 0) -> str:
    """Return a block of the README in *language*, by default the first."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found[number]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database; a SQLite file's is relative, as in the README."""
    if request.param == "sqlite":
        return "sqlite:///shop.db"
    make_database: MakeDatabase = request.getfixturevalue("make_database")
    return make_database()


@pytest.fixture
def first_workflow(url: str, tmp_path: Path) -> Path:
    """Return the file of the README's first workflow, on the database at *url*."""
    code = block("python")
    assert "sqlite:///shop.db" in code
    path = tmp_path / "shop.py"
    path.write_text(code.replace("sqlite:///shop.db", url))
    return path


@pytest.fixture
def ask(url: str, tmp_path: Path) -> Callable[[str], Rows]:
    """Return `ask(query)`, which runs a query of the README on the database at *url*."""

    def on_sqlite(query: str) -> Rows:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
            return list(connection.execute(query.replace("dbos.", "")))

    def on_postgres(query: str) -> Rows:
        with psycopg.connect(url) as connection:
            return list(connection.execute(query.encode()))

    return on_sqlite if url.startswith("sqlite") else on_postgres


def test_the_first_workflow_has_fifteen_lines() -> None:
    assert len(block("python").splitlines()) <= 15


def test_the_first_workflow_goes_on_where_it_was_killed(spawn: Spawn, first_workflow: Path) -> None:
    killed = spawn(first_workflow, cwd=first_workflow.parent, env={"FAILPOINTS": "run.parked=kill"})
    assert killed.wait() < 0

    second = spawn(first_workflow, cwd=first_workflow.parent, env={"FAILPOINTS": "step.before=kill"})

    assert (second.wait(), second.stdout, second.stderr) == (0, THANKS, "")

    third = spawn(first_workflow, cwd=first_workflow.parent, env={"FAILPOINTS": "run.claimed=kill"})

    assert (third.wait(), third.stdout, third.stderr) == (0, THANKS, "")


def test_the_workers_run_what_another_terminal_enqueues(spawn: Spawn, url: str, tmp_path: Path) -> None:
    (tmp_path / "emails.py").write_text(block("python", 1))
    env = {"DURUST_DATABASE_URL": url, "DURUST_WORKERS": "1", "DURUST_PIDFILE": str(tmp_path / "up.pid")}
    supervisor = spawn(Path(sys.executable).with_name("durust"), "up", "emails", cwd=tmp_path, env=env)
    eventually(lambda: "is up" in supervisor.stderr)

    sender = spawn("emails.py", cwd=tmp_path, env=env)

    assert (sender.wait(), sender.stdout, sender.stderr) == (0, "sent to ada\n", "")


def test_the_two_queries_show_workflows_and_steps(
    spawn: Spawn, first_workflow: Path, ask: Callable[[str], Rows]
) -> None:
    assert spawn(first_workflow, cwd=first_workflow.parent).wait() == 0
    workflows, steps = (query for query in block("sql").split(";") if query.strip())

    [workflow] = ask(workflows)
    rows = ask(steps)

    assert workflow[:3] == ("order-1", "checkout", "SUCCESS")
    assert [row[0] for row in rows] == [1, 2]
    assert rows[0][1:3] == ("charge", '"charge of 1999 for ada"')


def test_the_exit_codes_are_those_of_the_commands() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)] == [int(code) for code in Exit]


@pytest.mark.parametrize("line", re.findall(r"^    (durust .*?)(?: +#.*)?$", README, re.MULTILINE))
def test_each_command_has_the_options_that_it_is_shown_with(line: str) -> None:
    command: click.Command = main
    for word in line.split()[1:]:
        if isinstance(command, click.Group):
            command = command.commands[word]
        elif word.startswith("-"):
            assert word in {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", README, re.MULTILINE))
def test_each_make_target_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_links_to_what_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
