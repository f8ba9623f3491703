"""`durust db`: the schema of a database, and what is kept in it."""

from __future__ import annotations

import click

from durust.commands.desk import opened
from durust.commands.durations import Duration
from durust.commands.exits import one_clear_line
from durust.commands.front import Group
from durust.commands.options import app_option, database_option, option, output_option, verbose_option
from durust.commands.output import say_json, wants_json
from durust.engine.retention import purge_in_batches
from durust.errors import InvalidArgument
from durust.model.filters import PURGE_LIMIT_DEFAULT, PurgeRequest, Scope

# What a dry run counts at most: enough to see whether it is many.
DRY_LIMIT = 100_000


@click.group(cls=Group)
def db() -> None:
    """Look after the schema of a database, and after what is kept in it."""


@db.command()
@database_option
@verbose_option
def migrate(url: str, is_verbose: bool) -> None:
    """Bring the schema up to this release. Safe to run by many at once."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        provider.migrate()
        click.echo(f"{provider.name} is ready for this release")


@db.command()
@database_option
@verbose_option
@output_option
def status(url: str, is_verbose: bool, output: str | None) -> None:
    """Say whether this release can serve the database; exit with 1 if not, with 5 if it does not answer."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        provider.check()
        if wants_json(output):
            say_json({"database": provider.name, "fits": True})
        else:
            click.echo(f"{provider.name} fits this release")


@db.command()
@database_option
@app_option
@option(
    "--older-than",
    type=Duration(),
    envvar="DURUST_OLDER_THAN",
    help="Workflows that ended longer ago, as in 12h or 30d.",
)
@option(
    "--keep",
    type=int,
    envvar="DURUST_KEEP",
    metavar="N",
    help="All but the N that ended last. Of both options the one that removes more decides.",
)
@option(
    "--exceeded",
    "includes_exceeded",
    is_flag=True,
    envvar="DURUST_EXCEEDED",
    help="Also those that were set aside after too many attempts.",
)
@option(
    "--dry-run",
    "is_dry",
    is_flag=True,
    envvar="DURUST_DRY_RUN",
    help="Only count them.",
)
@output_option
@verbose_option
def purge(
    url: str,
    app_name: str,
    older_than: float | None,
    keep: int | None,
    includes_exceeded: bool,
    is_dry: bool,
    output: str | None,
    is_verbose: bool,
) -> None:
    """Remove ended workflows with all that belongs to them, in small batches; safe beside a running application."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        if older_than is None and keep is None:
            raise InvalidArgument("older-than", older_than, "say --older-than DURATION, --keep N, or both")
        request = PurgeRequest(
            # Without the user's code nobody here knows the names of rows that name no application.
            scope=Scope(app_name, ()),
            ended_before_seconds=older_than,
            keep_newest=keep,
            includes_exceeded=includes_exceeded,
            is_dry=is_dry,
            limit=DRY_LIMIT if is_dry else PURGE_LIMIT_DEFAULT,
        )
        purged = purge_in_batches(provider, request)
    if wants_json(output):
        say_json({"workflows": purged.workflows, "more": purged.more, "dry_run": is_dry})
    else:
        more = " or more" if purged.more and is_dry else "; there is more, so run this again" if purged.more else ""
        verb = "would be removed" if is_dry else "removed"
        click.echo(f"{purged.workflows} ended workflows {verb}{more}")
