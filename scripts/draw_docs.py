"""Draws the parts of the documentation that the code knows best: states, SQL failpoints, and what tests assert.

Each page has a part between `<!-- drawn: NAME -->` and `<!-- end -->`; run this after a change of what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from durust.model.status import INITIAL, TERMINAL, TRANSITIONS
from durust.storage.statements import load_all
from tests.tidy import behaviours

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
    """List the statements that have failpoints: those that change rows, and on Postgres those that do not as well."""
    postgres, sqlite = ({statement.name: statement for statement in load_all(name)} for name in ("postgres", "sqlite"))
    changing = {name for dialect in (postgres, sqlite) for name in dialect if dialect[name].writes}
    reading = [name for name in sorted(postgres) if name not in changing]
    rows = []
    for name in [*sorted(changing), *reading]:
        where = "Postgres" if name not in sqlite or name in reading else "both" if name in postgres else "SQLite"
        rows.append(f"| `sql.{name}.before` | `sql.{name}.after` | {'yes' if name in changing else ''} | {where} |")
    return "\n".join(["| before | after | changes rows | on |", "|---|---|---|---|", *rows, ""])


DRAWINGS: dict[str, Callable[[], str]] = {
    "states": states,
    "statements": statements,
    "behaviours": behaviours.table,
}


def drawn(page: str) -> str:
    """Return the text of a page with its drawn parts as the code has them now."""
    return _DRAWN.sub(lambda found: f"{found['head']}{DRAWINGS[found['name']]()}{found['tail']}", page)


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (fresh := drawn(page)) != page:
            path.write_text(fresh, encoding="utf-8")
            print(f"drew {path.name}")
