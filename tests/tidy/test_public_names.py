"""What users may import from durust is written down twice, so that no name comes or goes by accident."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import durust

LIST = Path(__file__).with_name("public_names.txt")


def listed() -> list[str]:
    """Return the names of the list; what follows a # is a comment."""
    names = [line.partition("#")[0].strip() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return [name for name in names if name]


def test_the_package_offers_the_names_of_the_list() -> None:
    assert sorted(getattr(durust, "__all__", [])) == sorted(listed())


def test_the_package_offers_nothing_else() -> None:
    names = {name for name, value in vars(durust).items() if not isinstance(value, ModuleType) and name[0] != "_"}

    assert names - {"annotations"} == set(listed())
