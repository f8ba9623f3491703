"""What a Postgres database holds, judged: fresh, to be served, or to be left alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files

from durust.errors import SchemaMismatch
from durust.storage import migrations

# The canonical schema version that durust creates and needs; newer ones only add to it.
CANONICAL_VERSION = 125
CANONICAL_MIGRATION = 1

# schema -> table -> column -> type, as the catalog spells it.
Catalog = Mapping[str, Mapping[str, Mapping[str, str]]]

_TABLE = re.compile(r"^create table (?P<schema>\w+)\.(?P<table>\w+) \(\n(?P<body>.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(
    r'^    "?(?P<name>\w+)"? (?P<type>[a-z][a-z ]*?(?:\(\d+(?:,\d+)?\))?)'
    r"(?: (?:primary|not|unique|default|check)\b.*)?,?$",
    re.MULTILINE,
)
_CONSTRAINTS = frozenset({"primary", "foreign"})


def catalog(rows: Iterable[tuple[str, str, str, str]]) -> Catalog:
    """Return rows of schema, table, column and type as a catalog."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for schema, table, column, kind in rows:
        found.setdefault(schema, {}).setdefault(table, {})[column] = kind
    return found


@cache
def wanted() -> Catalog:
    """Return the columns that the migrations create, read from their text, so that they are stated once."""
    text = "\n".join(migration.sql for migration in migrations.load("postgres"))
    return catalog(
        (table["schema"], table["table"], column["name"], column["type"])
        for table in _TABLE.finditer(text)
        for column in _COLUMN.finditer(table["body"])
        if column["name"] not in _CONSTRAINTS
    )


@cache
def additions() -> str:
    """Return the text that adds durust's columns and indexes to the canonical tables."""
    return (files("durust.storage") / "sql" / "postgres" / "additions.sql").read_text(encoding="utf-8")


def is_fresh(found: Catalog) -> bool:
    """Tell whether no table of the canonical schema is there."""
    return not found.get("dbos")


def demand_canonical(database: str, found: Catalog, versions: Collection[int]) -> None:
    """Raise `SchemaMismatch` unless the canonical tables are there as durust needs them.

    A version past the one that durust knows is served, and so are columns that it does not know.
    """
    if "dbos_migrations" not in found.get("dbos", {}):
        raise SchemaMismatch(database, "canonical tables without dbos_migrations", _WANTED)
    if len(versions) != 1:
        raise SchemaMismatch(database, f"{len(versions)} rows in dbos_migrations", _WANTED)
    [version] = versions
    if version < CANONICAL_VERSION:
        raise SchemaMismatch(database, f"version {version}", _WANTED)
    _demand_columns(database, found, "dbos")


def demand_own(database: str, found: Catalog) -> None:
    """Raise `SchemaMismatch` unless durust's own tables have the columns that this release uses."""
    _demand_columns(database, found, "durust")


def _demand_columns(database: str, found: Catalog, schema: str) -> None:
    for table, columns in wanted()[schema].items():
        standing = found.get(schema, {}).get(table, {})
        for column, kind in columns.items():
            if standing.get(column) != kind:
                what = f"{schema}.{table}.{column} is {standing.get(column, 'missing')}"
                raise SchemaMismatch(database, what, f"{kind}, as in version {CANONICAL_VERSION}")


_WANTED = f"the canonical tables at version {CANONICAL_VERSION} or newer, or a database without them"
