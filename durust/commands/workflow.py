"""`durust workflow`: what there is, how far it is, and why it does not run."""

from __future__ import annotations

from typing import Any

import click

from durust.commands.archive import export, import_
from durust.commands.criteria import filter_options, query_of
from durust.commands.desk import Desk, at_desk
from durust.commands.documents import step_document, workflow_document
from durust.commands.front import Group
from durust.commands.options import limit_option, list_output_option, option, output_option
from durust.commands.output import say_json, show_list, wants_json, warn
from durust.commands.picture import show_account
from durust.commands.workflow_orders import cancel, delete, fork, resume
from durust.explaining import account_of

COLUMNS = ("id", "name", "status", "created", "queue")
STEP_COLUMNS = ("step", "name", "status", "seconds", "child", "output", "error")


@click.group(cls=Group)
def workflow() -> None:
    """Look at workflows, and cancel, resume, fork, delete or move them."""


for command in (cancel, resume, fork, delete, export, import_):
    workflow.add_command(command)


@workflow.command("list")
@filter_options
@option("--oldest-first", is_flag=True, help="Begin with the oldest, not with the newest.")
@limit_option
@option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="How many to pass over first.")
@list_output_option
@at_desk
def list_(desk: Desk, oldest_first: bool, limit: int, offset: int, output: str | None, **filters: Any) -> None:
    """List workflows, the newest first."""
    # One more than is shown tells whether there are more.
    query = query_of(desk, filters, newest_first=not oldest_first, limit=limit + 1, offset=offset)
    rows = desk.client.list_workflows(query)
    show_list(output, [workflow_document(row) for row in rows[:limit]], "id", COLUMNS)
    if len(rows) > limit and not wants_json(output) and output != "ids":
        warn(f"there are more: --limit {2 * limit}, or --offset {offset + limit}")


@workflow.command()
@click.argument("workflow_id", metavar="ID")
@output_option
@at_desk
def show(desk: Desk, workflow_id: str, output: str | None) -> None:
    """Show one workflow: its row, its values, its steps in time, its parent and children, and what it waits for."""
    show_account(output, account_of(desk.provider, workflow_id))


@workflow.command()
@click.argument("workflow_id", metavar="ID")
@option("--limit", type=click.IntRange(min=1), metavar="N", help="How many to show at most; by default all.")
@list_output_option
@at_desk
def steps(desk: Desk, workflow_id: str, limit: int | None, output: str | None) -> None:
    """List the recorded steps of a workflow; with `-o ids` their numbers, from which it can be forked."""
    documents = [step_document(step) for step in desk.client.list_steps(workflow_id)[:limit]]
    show_list(output, documents, "step", STEP_COLUMNS)


@workflow.command()
@click.argument("workflow_id", metavar="ID")
@output_option
@at_desk
def why(desk: Desk, workflow_id: str, output: str | None) -> None:
    """Say in one sentence why a workflow does not run, or where it does."""
    account = account_of(desk.provider, workflow_id)
    if wants_json(output):
        status = str(account.row.status)
        say_json({"id": workflow_id, "status": status, "code": account.reason.code, "why": account.reason.sentence})
    else:
        click.echo(account.reason.sentence)
