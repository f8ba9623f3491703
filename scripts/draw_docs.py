"""Draws the parts of the documentation that the code knows best: the states' table and the SQL failpoints.

Each page has a part between `<!-- drawn: NAME -->` and `<!-- end -->`; run this after a change of what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from durust.model.status import INITIAL, TERMINAL, TRANSITIONS
from durust.storage.statements import load

DOCS = Path(__file__).resolve().parents[1] / "docs"
_DRAWN = re.compile(r"(?P<head><!-- drawn: (?P<name>\w+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL)


def states() -> str:
    """Draw the transition table, as a picture and as a table."""
    moves = [
        (event.name.lower(), source, transition.target)
        for event, transition in TRANSITIONS.items()
        for source in sorted(transition.sources)
    ]
    picture = [
        *(f"    [*] --> {status}" for status in sorted(INITIAL)),
        *(f"    {source} --> {target}: {event}" for event, source, target in moves),
        *(f"    {status} --> [*]" for status in sorted(TERMINAL)),
    ]
    rows = [f"| {event} | {source} | {target} |" for event, source, target in moves]
    head = ["| event | from | to |", "|---|---|---|"]
    return "\n".join(["```mermaid", "stateDiagram-v2", *picture, "```", "", *head, *rows, ""])


def statements() -> str:
    """List the statements, whose names all dialects share; a failpoint stands before and after each."""
    writing = sorted(statement.name for statement in load("postgres") if statement.writes)
    reading = sorted(statement.name for statement in load("postgres") if not statement.writes)
    lines = [
        "Statements that write:",
        "",
        *_items(writing),
        "",
        "Statements that only read or lock:",
        "",
        *_items(reading),
    ]
    return "\n".join([*lines, ""])


def _items(names: list[str]) -> list[str]:
    return [f"- `sql.{name}.before`, `sql.{name}.after`" for name in names]


DRAWINGS: dict[str, Callable[[], str]] = {"states": states, "statements": statements}


def drawn(page: str) -> str:
    """Return the text of a page with its drawn parts as the code has them now."""
    return _DRAWN.sub(lambda found: f"{found['head']}{DRAWINGS[found['name']]()}{found['tail']}", page)


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (fresh := drawn(page)) != page:
            path.write_text(fresh, encoding="utf-8")
            print(f"drew {path.name}")
