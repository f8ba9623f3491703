"""A table of the application's, in which the functions of transactions write notes."""

from __future__ import annotations

from typing import Any

MAKE_LINES = "create table lines (number integer, note text)"


def notes(connection: Any) -> list[str]:
    """Return the notes that are committed."""
    found = [text for (text,) in connection.execute("select note from lines order by number, note").fetchall()]
    connection.rollback()
    return found


def note(connection: Any, text: str, answer: Any = None) -> Any:
    """Write a note, as the function of a transaction, and return *answer*."""
    connection.execute(f"insert into lines values (1, '{text}')")
    return answer
