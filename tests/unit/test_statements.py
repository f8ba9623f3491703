"""Statements are read from a dialect's file by name, each with its failpoints."""

from __future__ import annotations

import pytest

from durust.storage import migrations
from durust.storage.statements import parse

TEXT = """\
-- Everything durust says to this database.

-- name: read_rows
-- Why it has this shape.
-- On two lines.
select 1
  -- an inner reason
  from rows;

-- name: lock_rows
select 1 from rows where note = 'delete from' for no key update

-- name: write_rows
with mine as (select 1 from rows for update)
update rows set a = 1
"""


def test_a_statement_is_found_by_its_name_without_its_reason() -> None:
    assert parse("x", TEXT).read_rows.sql == "select 1\n  -- an inner reason\n  from rows"


def test_statements_come_in_the_order_of_the_file() -> None:
    assert [statement.name for statement in parse("x", TEXT)] == ["read_rows", "lock_rows", "write_rows"]


def test_only_a_statement_that_changes_rows_writes() -> None:
    assert [statement.writes for statement in parse("x", TEXT)] == [False, False, True]


@pytest.mark.parametrize(
    "sql",
    [
        "insert into a values (1)",
        "INSERT OR IGNORE INTO a values (1)",
        "delete from a",
        "update a set b = 1",
        "replace into a values (1)",
    ],
)
def test_every_kind_of_change_is_known(sql: str) -> None:
    assert parse("x", f"-- name: one\n{sql}").one.writes


def test_each_statement_names_its_failpoints() -> None:
    statement = parse("x", TEXT).write_rows

    assert (statement.before, statement.after) == ("sql.write_rows.before", "sql.write_rows.after")


def test_an_unknown_name_is_an_attribute_error_that_names_the_file() -> None:
    with pytest.raises(AttributeError, match=r"queries\.sql of x has no statement 'missing'"):
        parse("x", TEXT).missing  # noqa: B018  the access is the act


def test_a_part_stands_in_each_statement_that_uses_it() -> None:
    part = "-- part: rest\n-- Why.\nfrom rows\n\n"
    text = f"{part}-- name: one\nselect 1\n -- use: rest\n\n-- name: two\n-- use: rest\nselect 2"

    assert [(one.name, one.sql.split()) for one in parse("x", text)] == [
        ("one", ["select", "1", "from", "rows"]),
        ("two", ["from", "rows", "select", "2"]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "-- name: a\nselect 1\n-- use: b",
        "-- name: a\nselect 1\n-- name: b\n-- use: a",
        "-- name: Upper\nselect 1",
        "-- name: a\nselect 1\n-- name: a\nselect 1",
        "-- name: a\n-- only a reason\n",
    ],
)
def test_a_malformed_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="queries"):
        parse("x", text)


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    numbers = [migration.number for migration in migrations.load("postgres")]

    assert numbers == list(range(1, len(numbers) + 1))
