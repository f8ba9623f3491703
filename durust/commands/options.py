"""The options that many commands share, and how each of them gets its variable."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from durust.settings import Settings
from durust.storage.opening import DEFAULT_URL, VARIABLES

Command = TypeVar("Command", bound=Callable[..., Any])

# Without a variable of its own an option is read from the one that its command's name makes, as in
# DURUST_WORKFLOW_LIST_LIMIT; the help names either.
option = functools.partial(click.option, show_envvar=True)
# Many rows tell a person nothing, and programs say how many they want.
LIMIT_DEFAULT = 100


class LenientOption(click.Option):
    """An option whose variable may hold what only other commands take; here it then counts as not set."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return what a variable holds, unless this command cannot take it."""
        value = super().resolve_envvar_value(ctx)
        if isinstance(self.type, click.Choice) and value not in self.type.choices:
            return None
        return value


database_option = option(
    "--db",
    "url",
    envvar=list(VARIABLES),
    default=DEFAULT_URL,
    show_default=True,
    metavar="URL",
    help="The database, as postgresql://..., sqlite:///file, or embedded:///folder.",
)
app_option = option(
    "--app-name",
    "app_name",
    envvar="DURUST_APP_NAME",
    default=Settings().app_name,
    show_default=True,
    help="Whose rows, in a database that several applications share.",
)
verbose_option = option(
    "--verbose",
    "is_verbose",
    is_flag=True,
    envvar="DURUST_VERBOSE",
    help="Show tracebacks and what happens inside.",
)
limit_option = option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT_DEFAULT,
    show_default=True,
    metavar="N",
    help="How many to show at most.",
)
paused_option = option("--paused/--unpaused", default=None, help="Only those that are paused, or only the others.")
prefix_option = option("--prefix", default="", metavar="TEXT", help="Whose names begin so.")


def _choose_output(choices: Sequence[str], help: str) -> Callable[[Command], Command]:
    kind = click.Choice(choices)
    return option("-o", "--output", "output", cls=LenientOption, envvar="DURUST_OUTPUT", type=kind, help=help)


output_option = _choose_output(["table", "json"], "By default a table on a terminal, JSON elsewhere.")
list_output_option = _choose_output(
    ["table", "json", "ids"], "By default a table on a terminal, JSON elsewhere; ids: one a line."
)
