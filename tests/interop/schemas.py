"""What the schema of a database is, as a text to compare."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

Rows = list[tuple[Any, ...]]

_CATALOG = {
    "columns": """select table_schema, table_name, column_name, data_type, is_nullable, column_default
                    from information_schema.columns where table_schema in ('dbos', 'durust') order by 1, 2, 3""",
    "indexes": "select indexname, indexdef from pg_indexes where schemaname in ('dbos', 'durust') order by 1, 2",
    "schemas": "select nspname from pg_namespace where nspname !~ '^pg_' order by 1",
    "functions": """select proname, md5(pg_get_functiondef(oid)) from pg_proc
                     where pronamespace in (to_regnamespace('dbos'), to_regnamespace('durust')) order by 1, 2""",
    "triggers": "select tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal order by 1, 2",
    "constraints": """select conname, pg_get_constraintdef(oid) from pg_constraint
                       where connamespace in (to_regnamespace('dbos'), to_regnamespace('durust')) order by 1, 2""",
}


def ask(url: str, sql: str, *parameters: Any) -> Rows:
    """Run a statement on the database at *url* and return its rows; tables are named as on Postgres, values by `?`."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as file, file:
            return file.execute(sql.replace("dbos.", "").replace("durust.", "durust_"), parameters).fetchall()
    with psycopg.connect(url, autocommit=True) as server:
        cursor = server.execute(sql.replace("?", "%s").encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def schema_of(url: str) -> dict[str, Rows]:
    """Return everything about the database at *url* that a migration could change."""
    if url.startswith("sqlite:"):
        return {"all": ask(url, "select type, name, tbl_name, sql from sqlite_master order by 1, 2")}
    return {name: ask(url, sql) for name, sql in _CATALOG.items()} | {
        "version": ask(url, "select * from dbos.dbos_migrations")
    }


def version_of(url: str) -> Rows:
    """Return the rows of the table that holds the canonical version."""
    return ask(url, "select * from dbos.dbos_migrations")
