"""How a command shows what it found: a table on a terminal, JSON elsewhere, or as it was asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from durust.model.writes import INTERNAL_QUEUE

Document = Mapping[str, object]

# On a narrow terminal no column is folded below this: a state's name, or a date.
CELLS_WHOLE = 10
# Between two columns of a table.
GAP = 2
# Of the colours that any terminal has; what a state's name says already.
_STYLES = {
    "SUCCESS": "green",
    "ERROR": "red",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "red",
    "CANCELLED": "yellow",
    "PENDING": "cyan",
}


class Instant(str):
    """An instant in ISO 8601, in UTC and to the millisecond; people read it shorter."""

    __slots__ = ()

    @property
    def short(self) -> str:
        """Return it as a table shows it."""
        return f"{self[:10]} {self[11:19]}Z"


def instant(epoch_ms: int) -> Instant:
    """Return an instant as people and programs read it; one beyond the calendar as the calendar's end."""
    try:
        moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.max.replace(tzinfo=UTC)
    return Instant(moment.isoformat(timespec="milliseconds"))


def maybe_instant(epoch_ms: int | None) -> Instant | None:
    """Return an instant, or None where there is none."""
    return None if epoch_ms is None else instant(epoch_ms)


def wants_json(output: str | None) -> bool:
    """Tell whether the answer is to be JSON."""
    # There is none where the caller closed it.
    is_seen = sys.stdout is not None and sys.stdout.isatty()
    return (output or ("table" if is_seen else "json")) == "json"


def say_json(document: object) -> None:
    """Print a document, in one line, so that programs may read line by line."""
    click.echo(json.dumps(document))


def show(*parts: RenderableType) -> None:
    """Print tables and texts."""
    console = Console()
    for part in parts:
        console.print(part)


def warn(line: str) -> None:
    """Tell the user something beside the answer, on standard error."""
    click.echo(f"durust: {line}", err=True)


def cell(value: object) -> Text:
    """Return a value as a table shows it; never as markup, because names may hold brackets."""
    match value:
        case None:
            return Text("")
        case bool():
            return Text("yes" if value else "no")
        case Instant():
            return Text(value.short)
        case _ if value == INTERNAL_QUEUE:
            return Text("(internal)")
        case str():
            return plain(value, style=_STYLES.get(value, ""))
        case int() | float():
            return Text(f"{value}")
        case _:
            return plain(json.dumps(value, ensure_ascii=False))


def plain(text: str, style: str = "") -> Text:
    """Return a stored text as a terminal can show it: nothing in it is markup, an order to the terminal, or broken."""
    shown = text.replace("\x1b", "\\x1b").encode(errors="backslashreplace").decode()
    return Text(shown, style=style)


def table_of(rows: Sequence[Document], columns: Sequence[str], id_column: str = "") -> Table:
    """Return rows as a table of some of their keys; numbers stand on the right, an id in one piece if there is room."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    values = {column: [row[column] for row in rows if row[column] is not None] for column in columns}
    widest = {column: max((cell(value).cell_len for value in values[column]), default=0) for column in columns}
    least = {column: min(max(widest[column], len(column)), CELLS_WHOLE) for column in columns}
    # Where that leaves no room for the others it is broken like them: a part that is cut off is nowhere to be read.
    is_whole = (
        widest.get(id_column, 0) + sum(least.values()) - least.get(id_column, 0) + GAP * len(columns) <= Console().width
    )
    for column in columns:
        is_number = bool(values[column]) and all(type(value) in {int, float} for value in values[column])
        table.add_column(
            column.replace("_", " "),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=is_number or (column == id_column and is_whole),
            min_width=min(widest[column], CELLS_WHOLE),
        )
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    return table


def show_list(output: str | None, rows: Sequence[Document], id_column: str, columns: Sequence[str] = ()) -> None:
    """Show rows of the same keys; a table has only *columns*, if any are named."""
    if output == "ids":
        for row in rows:
            click.echo(str(row[id_column]))
    elif wants_json(output):
        say_json(rows)
    elif rows:
        show(table_of(rows, columns or tuple(rows[0]), id_column))
    else:
        click.echo("none")


def show_one(output: str | None, document: Document) -> None:
    """Show one document; a table has a line for each key that has a value."""
    if wants_json(output):
        say_json(document)
        return
    grid = Table.grid(padding=(0, 2))
    for key, value in document.items():
        if value is not None and value != []:
            grid.add_row(Text(key.replace("_", " "), style="bold"), cell(value))
    show(grid)
