"""Which database a command speaks to: the option, the variables behind it, and a provider that is closed after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from durust.settings import Settings
from durust.storage.opening import DEFAULT_URL, VARIABLES, open_provider
from durust.storage.provider import StateProvider

database_option = click.option(
    "--db",
    "url",
    show_envvar=True,
    envvar=list(VARIABLES),
    default=DEFAULT_URL,
    show_default=True,
    metavar="URL",
    help="The database, as postgresql://..., sqlite:///file, or embedded:///folder.",
)
app_option = click.option(
    "--app-name",
    "app_name",
    show_envvar=True,
    envvar="DURUST_APP_NAME",
    default=Settings().app_name,
    show_default=True,
    help="Whose rows, in a database that several applications share.",
)
verbose_option = click.option(
    "--verbose",
    "is_verbose",
    is_flag=True,
    show_envvar=True,
    envvar="DURUST_VERBOSE",
    help="Show tracebacks and what happens inside.",
)


@contextmanager
def opened(url: str) -> Iterator[StateProvider]:
    """Open the provider of *url* for as long as the block runs."""
    provider = open_provider(url)
    try:
        yield provider
    finally:
        provider.close()
