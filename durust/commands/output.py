"""How a command shows what it found: a table on a terminal, JSON elsewhere, or as it was asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

output_option = click.option(
    "-o",
    "output",
    type=click.Choice(["table", "json"]),
    show_envvar=True,
    envvar="DURUST_OUTPUT",
    help="By default a table on a terminal, JSON elsewhere.",
)
list_output_option = click.option(
    "-o",
    "output",
    type=click.Choice(["table", "json", "ids"]),
    show_envvar=True,
    envvar="DURUST_OUTPUT",
    help="By default a table on a terminal, JSON elsewhere; ids: one a line.",
)


def wants_json(output: str | None) -> bool:
    """Tell whether the answer is to be JSON."""
    return (output or ("table" if sys.stdout.isatty() else "json")) == "json"


def instant(epoch_ms: int) -> str:
    """Return an instant as people and programs read it."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


def show_list(output: str | None, rows: Sequence[Mapping[str, object]], id_column: str) -> None:
    """Show rows of the same columns."""
    if output == "ids":
        for row in rows:
            click.echo(str(row[id_column]))
    elif wants_json(output):
        click.echo(json.dumps(rows))
    elif rows:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        Console().print(table)
    else:
        click.echo("none")
