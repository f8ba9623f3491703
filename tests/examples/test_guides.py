"""The guides' code runs as it stands there, in a process of its own, on a file and on a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.guides import blocks
from tests.support.processes import ROOT, Spawn, Spawned
from tests.support.server import MakeDatabase

PAGES = sorted((ROOT / "docs" / "guides").glob("*.md"))
# Some programs of a guide wait for a lease or for a sleep.
PAGE_SECONDS = 100.0
LINES_MAX = 150
BROKEN = """# A page

```python
first = 1
```

Prose.

```python
second = first + 1
raise ValueError(second)
```
"""


def run(spawn: Spawn, page: Path, folder: Path, url: str) -> Spawned:
    """Run a page in a folder; the programs that it starts find the same database."""
    folder.mkdir()
    env = {"DURUST_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    return spawn("-m", "tests.examples.guides", page, cwd=folder, env=env)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/guide.db"
    make_database: MakeDatabase = request.getfixturevalue("make_database")
    return make_database()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_guide_runs_as_it_is_written(spawn: Spawn, page: Path, url: str, tmp_path: Path) -> None:
    process = run(spawn, page, tmp_path / "guide", url)

    assert process.wait(PAGE_SECONDS) == 0, process.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_guide_is_short_shows_code_and_stands_in_the_readme(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= LINES_MAX
    assert [block for block in blocks(page) if block.language == "python"] != []
    assert f"docs/guides/{page.name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_block_that_fails_is_told_by_its_page_and_line(spawn: Spawn, tmp_path: Path) -> None:
    page = tmp_path / "broken.md"
    page.write_text(BROKEN)

    process = run(spawn, page, tmp_path / "guide", f"sqlite:///{tmp_path}/guide.db")

    assert process.wait() == 1
    assert f'"{page}", line 11' in process.stderr
    assert process.stderr.endswith("ValueError: 2\n")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("python -c 'print(1)'\n2", "printed '1' and not '2'"),
        ("python -c 'raise SystemExit(3)'", "exit code 3"),
        ("durust up emails --no-such-option", "has no option --no-such-option"),
        ("durust sideways", "has no command 'sideways'"),
        ("rm -r here", "only `python` and `durust`"),
    ],
)
def test_a_command_that_does_something_else_is_told_by_its_page_and_line(
    spawn: Spawn, tmp_path: Path, command: str, complaint: str
) -> None:
    page = tmp_path / "broken.md"
    page.write_text(f"Prose.\n\n```console\n$ {command}\n```\n")

    process = run(spawn, page, tmp_path / "guide", f"sqlite:///{tmp_path}/guide.db")

    assert process.wait() == 1
    assert f"{page}, line 4: " in process.stderr
    assert complaint in process.stderr
