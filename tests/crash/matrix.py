"""The table of docs/crash_matrix.md as the tests read it, and the boundaries that have to stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from durust.storage import statements

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "crash_matrix.md"
DATABASES = ("postgres", "sqlite")
# The program's own: inside each step's body, before and after its effect.
BODY = frozenset({"body.before_effect", "body.after_effect"})

_CALL = re.compile(r'\bfailpoint\("([a-z_.]+)"\)')
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    scenario: str
    boundary: str
    databases: tuple[str, ...]
    passes: tuple[int, ...]
    """At which of its passes the process is killed; three where each step passes it once."""
    times: int
    """How often the effect of the step under way happens in the end."""


@cache
def rows() -> tuple[Row, ...]:
    """Return the lines of the table."""
    return tuple(
        Row(
            scenario=scenario,
            boundary=boundary,
            databases=DATABASES if databases == "both" else (databases.lower(),),
            passes=tuple(map(int, passes.split(", "))),
            times=int(times),
        )
        for scenario, boundary, databases, passes, times in _table("The table")
    )


@cache
def left_out() -> frozenset[str]:
    """Return the boundaries that no case needs; the page says why."""
    return frozenset(boundary for boundary, _ in _table("What is left out"))


def _table(heading: str) -> Iterator[tuple[str, ...]]:
    """Return the cells of the table under a heading, without the code marks."""
    _, *parts = _HEADING.split(PAGE.read_text(encoding="utf-8"))
    lines = dict(zip(parts[::2], parts[1::2], strict=True))[heading].splitlines()
    for line in [line for line in lines if line.startswith("|")][2:]:
        yield tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))


def boundaries(database: str) -> set[str]:
    """Return every boundary of durust on a database: around each writing statement, and in the engine."""
    writing = [statement for statement in statements.load_all(database) if statement.writes]
    around = {name for statement in writing for name in (statement.before, statement.after)}
    sources = [*(ROOT / "durust").rglob("*.py"), *(ROOT / "supervisor").rglob("*.py")]
    inside = {name for path in sources for name in _CALL.findall(path.read_text(encoding="utf-8"))}
    return around | inside | BODY
