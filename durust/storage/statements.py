"""Named SQL statements, read from the `queries.sql` of a dialect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- (?P<kind>name|part):\s*(?P<name>\S+)\s*$")
_USE = re.compile(r"^\s*-- use:\s*(?P<name>\S+)\s*$")
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]*$")
# A string, a quoted identifier or a comment: what stands in there is no keyword.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*")
# `for update`, `for no key update` and `do update` lock or belong to an insert; a bare `update` writes.
_WRITES = re.compile(
    r"\b(?:insert\s+(?:or\s+\w+\s+)?into|replace\s+into|delete\s+from|(?<!for )(?<!key )(?<!do )update)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its name, its text, and the names of the failpoints around its execution."""

    name: str
    sql: str
    writes: bool
    """Whether it changes rows; a statement that only locks does not."""
    before: str = field(init=False)
    after: str = field(init=False)

    def __post_init__(self) -> None:
        """Make the failpoint names once, because they are asked for on every execution."""
        object.__setattr__(self, "before", f"sql.{self.name}.before")
        object.__setattr__(self, "after", f"sql.{self.name}.after")


class Statements:
    """The statements of one dialect, as attributes and in the order of the file."""

    def __init__(self, dialect: str, statements: dict[str, Statement]) -> None:
        self._dialect = dialect
        self._statements = statements

    def __getattr__(self, name: str) -> Statement:
        """Return the statement of that name. Raises `AttributeError` when the dialect has none."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"queries.sql of {self._dialect} has no statement {name!r}") from None

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._statements.values())

    def __len__(self) -> int:
        return len(self._statements)


def parse(dialect: str, text: str) -> Statements:
    """Read the text of a `queries.sql`.

    A statement starts at `-- name: lower_snake`; the comment lines under it give its reason and are not sent. What
    several share stands once behind a `-- part: lower_snake`, and in each of them as a line `-- use: lower_snake`.
    Raises `ValueError` for text before the first name, a name that is no identifier or stands twice, an empty
    statement, or a part that does not stand above.
    """
    bodies: dict[str, list[str]] = {}
    parts: set[str] = set()
    current: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        found = _NAME.match(line)
        if found:
            name = found["name"]
            if not _IDENTIFIER.match(name) or name in bodies:
                raise ValueError(f"{dialect}/queries.sql:{number}: {name!r} is no lower_snake name, or stands twice")
            current = bodies[name] = []
            if found["kind"] == "part":
                parts.add(name)
        elif use := _USE.match(line):
            if current is None or use["name"] not in parts:
                raise ValueError(f"{dialect}/queries.sql:{number}: no part {use['name']!r} stands above")
            current += bodies[use["name"]]
        elif current is not None:
            if current or not (line.startswith("--") or not line.strip()):
                current.append(line)
        elif line.strip() and not line.startswith("--"):
            raise ValueError(f"{dialect}/queries.sql:{number}: a statement needs a `-- name:` line")
    made = {name: _make(dialect, name, lines) for name, lines in bodies.items() if name not in parts}
    return Statements(dialect, made)


def _make(dialect: str, name: str, lines: list[str]) -> Statement:
    sql = "\n".join(lines).strip().removesuffix(";").rstrip()
    if not sql:
        raise ValueError(f"{dialect}/queries.sql: {name!r} is empty")
    return Statement(name, sql, writes=bool(_WRITES.search(_QUOTED.sub("''", sql))))


FILES = ("queries", "witnesses")
"""What is said to the database of the state, and what to others."""


@cache
def load(dialect: str, file: str = "queries") -> Statements:
    """Return the statements of `durust/storage/sql/<dialect>/<file>.sql`, read once per process."""
    return parse(dialect, (files("durust.storage") / "sql" / dialect / f"{file}.sql").read_text(encoding="utf-8"))


def load_all(dialect: str) -> list[Statement]:
    """Return the statements of all files of a dialect."""
    return [statement for file in FILES for statement in load(dialect, file)]
