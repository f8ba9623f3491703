"""`durust db`: the schema of a database."""

from __future__ import annotations

import json

import click

from durust.commands.database import database_option, opened, verbose_option
from durust.commands.exits import one_clear_line


@click.group()
def db() -> None:
    """Look after the schema of a database."""


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
@click.option(
    "-o", "output", type=click.Choice(["table", "json"]), default="table", show_envvar=True, envvar="DURUST_OUTPUT"
)
def status(url: str, is_verbose: bool, output: str) -> None:
    """Say whether this release can serve the database; exit with 1 if not, with 5 if it does not answer."""
    with one_clear_line(is_verbose=is_verbose), opened(url) as provider:
        provider.check()
        if output == "json":
            click.echo(json.dumps({"database": provider.name, "fits": True}))
        else:
            click.echo(f"{provider.name} fits this release")
