"""Bringing a Postgres database up to this release, or saying why it cannot be served."""

from __future__ import annotations

from collections.abc import Callable

from durust.errors import SchemaMismatch
from durust.storage import migrations, schema, statements
from durust.storage.links import Call, Link, Row

SQL = statements.load("postgres")

Query = Callable[[Call], list[Row]]


def migrate(database: str, link: Link) -> None:
    """Create what is missing, in one transaction on *link*, whose settings must suit long statements.

    Raises `SchemaMismatch` for a database that does not fit; it is left as it was once *link* is closed.
    """

    def query(call: Call) -> list[Row]:
        return link.run([call])[0]

    link.script("begin")
    # One migrator at a time: the others wait here and then find everything done.
    query(Call(SQL.lock_migrations))
    found = schema.catalog(query(Call(SQL.find_columns)))
    is_fresh = schema.is_fresh(found)
    if not is_fresh:
        schema.demand_canonical(database, found, _versions(query, found))
    if "migrations" not in found.get("durust", {}):
        query(Call(SQL.create_own_schema))
        query(Call(SQL.create_migrations))
    done = {row[0] for row in query(Call(SQL.read_migrations))}
    for migration in migrations.load("postgres"):
        is_canonical = migration.number == schema.CANONICAL_MIGRATION
        if is_fresh if is_canonical else migration.number not in done:
            link.script(migration.sql)
        if migration.number not in done:
            query(Call(SQL.note_migration, {"number": migration.number, "name": migration.name}))
    schema.demand_own(database, schema.catalog(query(Call(SQL.find_columns))))
    if query(Call(SQL.find_missing_additions)):
        link.script(schema.additions())
    link.script("commit")


def check(database: str, query: Query) -> None:
    """Raise `SchemaMismatch` unless the database is one that this release can serve, changing nothing."""
    found = schema.catalog(query(Call(SQL.find_columns)))
    if schema.is_fresh(found):
        raise SchemaMismatch(database, "no canonical tables", "a database that durust has migrated")
    schema.demand_canonical(database, found, _versions(query, found))
    if "migrations" not in found.get("durust", {}):
        raise SchemaMismatch(database, "no tables of durust", "a database that durust has migrated")
    schema.demand_own(database, found)
    missing = [row[0] for row in query(Call(SQL.find_missing_additions))]
    if missing:
        raise SchemaMismatch(database, f"{', '.join(missing)} missing", "a database that this release has migrated")


def _versions(query: Query, found: schema.Catalog) -> list[int]:
    is_kept = "dbos_migrations" in found["dbos"]
    return [row[0] for row in query(Call(SQL.read_version))] if is_kept else []
