"""`durust workflow show`: one workflow with its steps as a waterfall in time."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from durust.commands.documents import step_document, values_document, workflow_document
from durust.commands.output import Document, cell, instant, maybe_instant, plain, say_json, wants_json
from durust.explaining import Account
from durust.model.records import Checkpoint
from durust.model.waits import STREAM
from durust.texts import error_line

# Of a terminal's width, behind numbers, names and durations; a narrow one still shows where the time went.
BAR_CELLS_MIN = 10
BESIDE_BAR_CELLS = 56
# Steps that a person looks through; programs read all of them as JSON.
STEPS_SHOWN_MAX = 200
# Values are shown up to so many characters; `-o json` has them whole.
VALUE_CHARACTERS_MAX = 200


def show_account(output: str | None, account: Account) -> None:
    """Show a workflow: its row, why it stands so, and its steps."""
    if wants_json(output):
        say_json(document_of(account))
        return
    console = Console()
    console.print(plain(account.reason.sentence), soft_wrap=True)
    console.print(_facts(document_of(account)))
    if account.steps:
        console.print(_waterfall(account, max(BAR_CELLS_MIN, console.width - BESIDE_BAR_CELLS)))
    if len(account.steps) > STEPS_SHOWN_MAX:
        click.echo(f"and {len(account.steps) - STEPS_SHOWN_MAX} more: `durust workflow steps`")


def document_of(account: Account) -> Document:
    """Return a workflow with all that belongs to it."""
    return {
        **workflow_document(account.row),
        **values_document(account.row),
        "code": account.reason.code,
        "why": account.reason.sentence,
        # Whoever waits for a child has recorded it twice.
        "children": list(dict.fromkeys(step.child_id for step in account.steps if step.child_id is not None)),
        "waits": [
            {
                "step": wait.place,
                "kind": wait.kind,
                "target": wait.target or None,
                "key": wait.key or None,
                "offset": wait.at if wait.kind == STREAM else None,
                "until": maybe_instant(wait.until_ms),
            }
            for wait in account.standing.waits
        ],
        "steps": [step_document(step) for step in account.steps],
    }


def _facts(document: Document) -> Table:
    grid = Table.grid(padding=(0, 2))
    for key, value in document.items():
        if key in {"code", "why", "steps", "serialization"} or value in (None, [], False):
            continue
        grid.add_row(Text(key.replace("_", " "), style="bold"), _shortened(value))
    return grid


def _shortened(value: object) -> Text:
    shown = cell(value)
    shown.truncate(VALUE_CHARACTERS_MAX, overflow="ellipsis")
    return shown


def _waterfall(account: Account, cells: int) -> Table:
    """Draw each step as a bar on one axis of time, which begins with the run and ends with it, or now."""
    row, shown = account.row, account.steps[:STEPS_SHOWN_MAX]
    begins = [step.started_at_ms for step in shown if step.started_at_ms is not None]
    first_ms = min([row.created_at_ms, *begins]) if row.started_at_ms is None else min([row.started_at_ms, *begins])
    last_ms = max(row.completed_at_ms or account.standing.now_ms, first_ms + 1)
    axis = f"{instant(first_ms).short} + {(last_ms - first_ms) / 1000:.3f} s"
    heads = (Column("step", justify="right"), "name", Column("seconds", justify="right"), axis, "")
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for step in shown:
        begin_ms = first_ms if step.started_at_ms is None else step.started_at_ms
        end_ms = begin_ms if step.completed_at_ms is None else step.completed_at_ms
        failed = error_line(step.error, step.serialization)
        table.add_row(
            str(step.place),
            plain(step.name),
            f"{max(0, end_ms - begin_ms) / 1000:.3f}",
            bar(begin_ms - first_ms, end_ms - first_ms, last_ms - first_ms, cells, is_failed=failed is not None),
            plain(failed or _child(step)),
        )
    return table


def _child(step: Checkpoint) -> str:
    return "" if step.child_id is None else f"child {step.child_id}"


def bar(begin_ms: int, end_ms: int, whole_ms: int, cells: int, *, is_failed: bool) -> Text:
    """Return a bar from one instant to another on an axis of so many cells; the shortest step is seen as well.

    What ends behind the axis, such as a sleep that is still going on, is cut off there.
    """
    begin = min(cells - 1, max(0, begin_ms) * cells // whole_ms)
    end = max(begin + 1, min(cells, -(-max(0, end_ms) * cells // whole_ms)))
    return Text(" " * begin).append("█" * (end - begin), style="red" if is_failed else "cyan")
