"""What a SQLite file holds, judged and brought up to this release."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from importlib.resources import files

from durust.errors import SchemaMismatch
from durust.storage import migrations
from durust.storage.schema import CANONICAL_MIGRATION, CANONICAL_VERSION
from durust.storage.sqlite_statements import SQL, Transaction

# table -> column -> declared type
Catalog = Mapping[str, Mapping[str, str]]

_WANTED = f"the canonical tables at version {CANONICAL_VERSION} or newer, or a file without them"


def catalog(rows: Iterable[tuple[str, str, str]]) -> Catalog:
    """Return rows of table, column and declared type as a catalog; SQLite knows `Queues` and `queues` for one name."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(table.lower(), {})[column.lower()] = kind
    return found


def judge(database: str, transaction: Transaction, canonical: Catalog, own: Catalog) -> bool:
    """Tell whether the canonical tables are there as durust needs them; False when none of them is.

    A version past the one that durust knows is served, and so are columns that it does not know. Raises
    `SchemaMismatch` for tables that do not fit.
    """
    found = catalog(transaction.rows(SQL.find_columns, {}))
    if not set(found) & set(canonical):
        return False
    if "dbos_migrations" not in found:
        standing = ", ".join(sorted(set(found) & set(canonical)))
        raise SchemaMismatch(database, f"{standing} without dbos_migrations", _WANTED)
    versions = [row[0] for row in transaction.rows(SQL.read_version, {})]
    if len(versions) != 1:
        raise SchemaMismatch(database, f"{len(versions)} rows in dbos_migrations", _WANTED)
    if versions[0] < CANONICAL_VERSION:
        raise SchemaMismatch(database, f"version {versions[0]}", _WANTED)
    _demand_columns(database, found, canonical)
    # Of durust's own tables those that are there must fit; the others are still to be made.
    _demand_columns(database, found, {table: columns for table, columns in own.items() if table in found})
    return True


def demand(database: str, transaction: Transaction, canonical: Catalog, own: Catalog) -> None:
    """Raise `SchemaMismatch` unless a release like this one has migrated the database."""
    if not judge(database, transaction, canonical, own):
        raise SchemaMismatch(database, "none of the canonical tables", "a database that durust has migrated")
    found = catalog(transaction.rows(SQL.find_columns, {}))
    _demand_columns(database, found, own)
    missing = [row[0] for row in transaction.rows(SQL.find_missing_additions, {})]
    if missing:
        raise SchemaMismatch(database, f"no {', '.join(missing)}", "a database that durust has migrated")


def _demand_columns(database: str, found: Catalog, wanted: Catalog) -> None:
    for table, columns in wanted.items():
        for column, kind in columns.items():
            standing = found.get(table, {}).get(column)
            if standing is None or is_text(standing) != is_text(kind):
                raise SchemaMismatch(database, f"{table}.{column} is {standing or 'missing'}", f"a column of {kind}")


def is_text(declared: str) -> bool:
    """Tell whether a column of this declared type keeps text as text, by SQLite's rules of affinity."""
    kind = declared.upper()
    return "INT" not in kind and any(word in kind for word in ("CHAR", "CLOB", "TEXT"))


def bring_up(database: str, transaction: Transaction, canonical: Catalog, own: Catalog) -> None:
    """Apply the migrations and additions that are missing. Raises `SchemaMismatch` like `judge`."""
    is_canonical = judge(database, transaction, canonical, own)
    transaction.rows(SQL.make_migrations, {})
    done = {row[0] for row in transaction.rows(SQL.read_migrations, {})}
    for migration in migrations.load("sqlite"):
        if migration.number not in done:
            if migration.number != CANONICAL_MIGRATION or not is_canonical:
                transaction.script(migration.sql)
            transaction.change(SQL.note_migration, {"number": migration.number, "name": migration.name})
    missing = {row[0] for row in transaction.rows(SQL.find_missing_additions, {})}
    for column in missing & set(_COLUMNS):
        transaction.rows(_COLUMNS[column], {})
    if missing:
        additions = files("durust.storage") / "sql" / "sqlite" / "additions.sql"
        transaction.script(additions.read_text(encoding="utf-8"))


# SQLite cannot add a column only where it is missing.
_COLUMNS = {
    "durust_claim": SQL.add_durust_claim,
    "durust_seq": SQL.add_durust_seq,
    "durust_key": SQL.add_durust_key,
}


def canonical_text() -> str:
    """Return the text that makes the canonical tables."""
    return migrations.load("sqlite")[CANONICAL_MIGRATION - 1].sql


def own_texts() -> Iterator[str]:
    """Return the texts that make durust's own tables."""
    return (migration.sql for migration in migrations.load("sqlite") if migration.number != CANONICAL_MIGRATION)


@cache
def wanted() -> tuple[Catalog, Catalog]:
    """Return the canonical tables and durust's own, as a database that has just been made holds them."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(canonical_text())
        canonical = catalog(empty.execute(SQL.find_columns.sql))
        for text in own_texts():
            empty.executescript(text)
        both = catalog(empty.execute(SQL.find_columns.sql))
    return canonical, {table: columns for table, columns in both.items() if table not in canonical}
