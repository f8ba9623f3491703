"""`durust workflow export` and `import`: workflows as documents, one a line, from one database into another."""

from __future__ import annotations

import json
from typing import BinaryIO

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.ids import Done, ids_argument, read_ids
from durust.commands.options import option, output_option
from durust.commands.output import say_json
from durust.errors import InvalidArgument, WorkflowConflict, WorkflowNotFound


@click.command("export")
@ids_argument
@option("--children", is_flag=True, help="With all that they started, what these started, and so on.")
@at_desk
def export(desk: Desk, ids: tuple[str, ...], children: bool) -> None:
    """Print workflows with all that is theirs, by their ids or (-) those on standard input: one document a line."""
    told = Done("exported")
    for one in read_ids(ids):
        try:
            say_json(desk.client.export_workflow(one, children=children))
            told.done.append(one)
        except WorkflowNotFound:
            told.missing.append(one)
    told.warn("workflow")


@click.command("import")
@click.argument("file", type=click.File("rb"), default="-")
@output_option
@at_desk
def import_(desk: Desk, file: BinaryIO, output: str | None) -> None:
    """Put the workflows of the documents in FILE, or on standard input, into the database, each document whole or not.

    What had not ended goes on here: cancel or delete it where it came from first, or both run.
    """
    told = Done("imported")
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            told.done.append(desk.client.import_workflow(json.loads(line)).id)
        except (ValueError, RecursionError) as error:
            # One that is no text, no JSON, or, as `InvalidArgument`, no such document.
            so_far = f"; what stood before it is imported: {len(told.done)}" if told.done else ""
            raise InvalidArgument("line", number, f"is no document of a workflow: {error}{so_far}") from None
        except WorkflowConflict as error:
            told.refused.append((f"line {number}", str(error)))
    told.tell(output, "workflow")
