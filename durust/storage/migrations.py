"""The numbered files that bring a database up to this release, in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FILE = re.compile(r"^(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: a file `0001_name.sql` of several statements."""

    number: int
    name: str
    sql: str


@cache
def load(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of `durust/storage/sql/<dialect>/`, by number from 1 without a gap.

    Raises `ValueError` for a gap or a number that stands twice.
    """
    folder = files("durust.storage") / "sql" / dialect
    found = sorted(
        (
            Migration(int(match["number"]), match["name"], entry.read_text(encoding="utf-8"))
            for entry in folder.iterdir()
            if (match := _FILE.match(entry.name))
        ),
        key=lambda migration: migration.number,
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"{dialect}: migrations must be numbered 0001, 0002, ... without a gap or a repetition")
    return tuple(found)
