"""The page about failpoints lists every one there is, and the drawn parts of the pages are up to date."""

from __future__ import annotations

import ast
import re
import runpy

import pytest

from durust.storage.statements import load_all
from tests.tidy.sources import ROOT, library

DOCS = ROOT / "docs"
DRAWN = sorted(path.name for path in DOCS.glob("*.md") if "<!-- drawn: " in path.read_text(encoding="utf-8"))


def named_in_code() -> set[object]:
    """Return the names of all failpoints that the package hits by a literal name."""
    return {
        node.args[0].value
        for source in library()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    }


def test_each_failpoint_of_the_code_stands_in_a_row_of_the_page() -> None:
    page = (DOCS / "failpoints.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE)) == named_in_code()


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_page_shows_what_the_code_has(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    drawn = runpy.run_path(str(ROOT / "scripts" / "draw_docs.py"))["drawn"]

    assert page == drawn(page), "run make docs"


def test_the_behaviours_the_states_and_the_statements_are_drawn() -> None:
    assert DRAWN == ["behaviours.md", "failpoints.md", "states.md"]


def test_what_is_drawn_holds_both_ends_of_each_statement() -> None:
    page = (DOCS / "failpoints.md").read_text(encoding="utf-8")
    both = [*load_all("postgres"), *(statement for statement in load_all("sqlite") if statement.writes)]
    pairs = {(statement.before, statement.after) for statement in both}

    assert set(re.findall(r"^\| `(sql\.\S+)` \| `(sql\.\S+)` \|", page, re.MULTILINE)) == pairs
