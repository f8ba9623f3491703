"""`durust version`: which versions of an application there are, and what waits for one that nobody runs."""

from __future__ import annotations

import json
import sys

import click

from durust.commands.database import app_option, database_option, opened, verbose_option
from durust.commands.exits import Exit, one_clear_line
from durust.commands.output import instant, list_output_option, output_option, show_list, wants_json
from durust.engine.versions import adopt_stranded, latest_version, list_stranded, list_versions
from durust.errors import VersionNotFound
from durust.model.filters import Scope
from durust.model.records import VersionRow
from durust.storage.provider import StateProvider


@click.group()
def version() -> None:
    """Look after versions: which there are, and what waits for one that nobody runs."""


@version.command("list")
@database_option
@app_option
@list_output_option
@verbose_option
def list_(url: str, app_name: str, output: str | None, is_verbose: bool) -> None:
    """List the registered versions, the latest first."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        rows = [
            {
                "version": row.name,
                "latest": place == 0,
                "executors": row.executors,
                "workflows": len(row.workflows),
                "created": instant(row.created_at_ms),
            }
            for place, row in enumerate(list_versions(provider, app_name))
        ]
    show_list(output, rows, "version")


@version.command()
@database_option
@app_option
@list_output_option
@verbose_option
def stranded(url: str, app_name: str, output: str | None, is_verbose: bool) -> None:
    """List unfinished workflows whose version no living executor has, the oldest first."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        rows = [
            {
                "workflow": row.workflow_id,
                "name": row.name,
                "version": row.app_version,
                "status": str(row.status),
                "queue": row.queue,
            }
            for row in list_stranded(provider, Scope(app_name, ()))
        ]
    show_list(output, rows, "workflow")


@version.command()
@click.argument("ids", nargs=-1, metavar="[ID ...|-]")
@click.option(
    "--to",
    "target",
    show_envvar=True,
    envvar="DURUST_TO",
    metavar="VERSION",
    help="The registered version that is to go on with them; by default the latest.",
)
@database_option
@app_option
@output_option
@verbose_option
def adopt(
    ids: tuple[str, ...], target: str | None, url: str, app_name: str, output: str | None, is_verbose: bool
) -> None:
    """Let another version go on with stranded workflows: all of them, those of the IDs, or of those on standard input.

    Where its code asks for other steps than were recorded, such a workflow ends with an error.
    """
    chosen = tuple(line.strip() for line in sys.stdin if line.strip()) if ids == ("-",) else ids or None
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        to = _target(provider, app_name, target)
        adoption = adopt_stranded(provider, Scope(app_name, ()), dict(to.workflows), chosen)
    adopted, left = [row.workflow_id for row in adoption.adopted], [row.workflow_id for row in adoption.left]
    if wants_json(output):
        click.echo(json.dumps({"version": to.name, "adopted": adopted, "left": left}))
    else:
        click.echo(f"{len(adopted)} workflows go on with version {to.name}")
    if left:
        names = ", ".join(sorted({row.name for row in adoption.left}))
        click.echo(
            f"durust: left as they are, because version {to.name} has no workflow of their names: {names}", err=True
        )
    if chosen is not None and len(adopted) < len(set(chosen)):
        rest = ", ".join(sorted(set(chosen) - set(adopted)))
        click.echo(f"durust: not adopted: {rest}; what is not stranded is run by somebody, or has ended", err=True)
        raise click.exceptions.Exit(Exit.CONFLICT)


def _target(provider: StateProvider, app_name: str, name: str | None) -> VersionRow:
    if name is None:
        latest = latest_version(provider, app_name)
        if latest is None:
            raise VersionNotFound("latest")
        return latest
    known = list_versions(provider, app_name)
    found = next((row for row in known if row.name == name), None)
    if found is None:
        raise VersionNotFound(name, tuple(row.name for row in known))
    return found
