"""What users may import from durust is written down twice, so that no name comes or goes by accident."""

from __future__ import annotations

from pathlib import Path

import durust
from tests.tidy.sources import library

LIST = Path(__file__).with_name("public_names.txt")


def listed() -> list[str]:
    """Return the names of the list; what follows a # is a comment."""
    names = [line.partition("#")[0].strip() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return [name for name in names if name]


def test_the_package_offers_the_names_of_the_list() -> None:
    assert sorted(durust.__all__) == sorted(listed())


def test_each_name_is_there() -> None:
    assert [name for name in listed() if not hasattr(durust, name)] == []


def test_the_package_gathers_nothing_that_it_does_not_offer() -> None:
    [source] = [source for source in library() if source.module == "durust"]
    gathered = {name.rpartition(".")[2] for name, _ in source.imports if name.startswith("durust.")}

    assert gathered - set(listed()) == set()
