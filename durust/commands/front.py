"""The command line as a whole: its groups list their commands in full sentences, and wrong usage is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

# Long enough for any first sentence: a list of commands breaks lines and cuts none of them off.
SENTENCE_MAX = 1000


class WrongUsage(click.UsageError):
    """Words that the command line does not take, told in one line that names who says more."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on standard error."""
        message = " ".join(self.format_message().split()).rstrip(".")
        more = f"; see `{self.ctx.command_path} --help`" if self.ctx is not None else ""
        click.echo(f"durust: {message[:1].lower()}{message[1:]}{more}", file=file, err=file is None)


class Group(click.Group):
    """A group that shows the first sentence of each of its commands whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names of the commands, each with its first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(SENTENCE_MAX)) for name, command in sorted(self.commands.items())]
            )


class Front(Group):
    """The group of all, which turns each error of usage below it into one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words of the command line."""
        with _in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run what was asked for."""
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        # It shows the help, which is what somebody who says nothing needs.
        raise
    except click.UsageError as error:
        raise WrongUsage(error.format_message(), error.ctx) from error
