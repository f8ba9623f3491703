"""`durust version`: which versions of an application there are, and what waits for one that nobody runs."""

from __future__ import annotations

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.exits import Exit
from durust.commands.front import Group
from durust.commands.ids import read_ids
from durust.commands.options import limit_option, list_output_option, option, output_option
from durust.commands.output import instant, say_json, show_list, wants_json, warn
from durust.engine.versions import adopt_stranded, heir, list_stranded, list_versions
from durust.errors import VersionNotFound
from durust.model.records import VersionRow
from durust.storage.provider import StateProvider


@click.group(cls=Group)
def version() -> None:
    """Look after versions: which there are, and what waits for one that nobody runs."""


@version.command("list")
@limit_option
@list_output_option
@at_desk
def list_(desk: Desk, limit: int, output: str | None) -> None:
    """List the registered versions, the latest first."""
    rows = [
        {
            "version": row.name,
            "latest": place == 0,
            "executors": row.executors,
            "workflows": len(row.workflows),
            "created": instant(row.created_at_ms),
        }
        for place, row in enumerate(list_versions(desk.provider, desk.app_name)[:limit])
    ]
    show_list(output, rows, "version")


@version.command()
@limit_option
@list_output_option
@at_desk
def stranded(desk: Desk, limit: int, output: str | None) -> None:
    """List unfinished workflows whose version no living executor has, the oldest first."""
    rows = [
        {
            "workflow": row.workflow_id,
            "name": row.name,
            "version": row.app_version,
            "status": str(row.status),
            "queue": row.queue,
        }
        for row in list_stranded(desk.provider, desk.scope)[:limit]
    ]
    show_list(output, rows, "workflow")


@version.command()
@click.argument("ids", nargs=-1, metavar="[ID... | -]")
@option(
    "--to",
    "target",
    envvar="DURUST_TO",
    metavar="VERSION",
    help="The registered version that is to go on with them; by default the latest.",
)
@output_option
@at_desk
def adopt(desk: Desk, ids: tuple[str, ...], target: str | None, output: str | None) -> None:
    """Let another version go on with stranded workflows: all of them, those of the IDs, or of those on standard input.

    Where its code asks for other steps than were recorded, such a workflow ends with an error.
    """
    chosen = read_ids(ids) if ids else None
    to = _target(desk.provider, desk.app_name, target)
    adoption = adopt_stranded(desk.provider, desk.scope, dict(to.workflows), chosen)
    adopted, left = [row.workflow_id for row in adoption.adopted], [row.workflow_id for row in adoption.left]
    if wants_json(output):
        say_json({"version": to.name, "adopted": adopted, "left": left})
    else:
        click.echo(f"{len(adopted)} workflow{'s'[: len(adopted) != 1]} to go on with version {to.name}")
    if left:
        names = ", ".join(sorted({row.name for row in adoption.left}))
        warn(f"left as they are, because version {to.name} has no workflow of their names: {names}")
    if chosen is not None and len(adopted) < len(chosen):
        rest = ", ".join(sorted(set(chosen) - set(adopted)))
        warn(f"not adopted: {rest}; what is not stranded is run by somebody, or has ended")
        raise click.exceptions.Exit(Exit.CONFLICT)


def _target(provider: StateProvider, app_name: str, name: str | None) -> VersionRow:
    try:
        return heir(provider, app_name, name)
    except VersionNotFound as error:
        if not error.known:
            raise NothingRegistered(app_name) from None
        raise


class NothingRegistered(VersionNotFound):
    """No version of the application is registered, so none can go on with anything."""

    def __str__(self) -> str:
        return (
            f"no version of application {self.name!r} is registered in this database: `durust up MODULE` registers the "
            "one that it runs; --app-name names another application"
        )
