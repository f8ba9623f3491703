"""Every file says what it answers for, and none holds what belongs on somebody's own machine or list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from tests.tidy.sources import FOLDERS, ROOT, Source, sources

WRITTEN = {".py", ".sql", ".md", ".toml", ".txt", ".sh", ".yml", ".yaml", ""}
# Spelt apart, so that they do not find themselves.
LEFT_FOR_LATER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
# Without /home, which stands in the mount tables that tests invent.
PATH_OF_A_MACHINE = re.compile(r"(?<![\w.])/(work|root|farm|Users)/\w")
PAUSE = re.compile(r"\btime\.sl" r"eep\(|\bfrom time import\b")


def written_files() -> list[Path]:
    """Return every file that people write."""
    folders = [ROOT / name for name in (*FOLDERS, "docs", ".ci") if (ROOT / name).exists()]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in paths if path.is_file() and path.suffix in WRITTEN and path.name != ".git"]


def lines_with(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    """Return the place and text of each line of *paths* in which *pattern* is found."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def sources_of_tests() -> list[Source]:
    """Return the files below tests/."""
    return [source for source in sources() if source.place.startswith("tests/")]


def test_each_file_opens_with_a_sentence() -> None:
    openings = {source.place: (ast.get_docstring(source.tree) or "").partition("\n")[0] for source in sources()}

    assert [place for place, opening in openings.items() if not opening.endswith(".")] == []


def test_nothing_is_left_for_later() -> None:
    assert lines_with(LEFT_FOR_LATER, written_files()) == []


def test_no_place_of_one_machine_is_named() -> None:
    assert lines_with(PATH_OF_A_MACHINE, written_files()) == []


def test_tests_wait_for_what_they_want_and_not_for_time_to_pass() -> None:
    assert lines_with(PAUSE, (source.path for source in sources_of_tests())) == []


def test_each_folder_of_tests_is_a_package() -> None:
    assert [source.place for source in sources_of_tests() if not (source.path.parent / "__init__.py").exists()] == []


def test_the_supervisor_is_reached_through_a_link() -> None:
    link = ROOT / "durust" / "supervisor"

    assert link.is_symlink()
    assert link.readlink() == Path("../supervisor")
