"""`durust completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "durust"
_VARIABLE = "_DURUST_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a SHELL complete `durust`.

    bash: add `eval "$(durust completion bash)"` to ~/.bashrc; zsh: the same with zsh to ~/.zshrc; fish: run
    `durust completion fish > ~/.config/fish/completions/durust.fish`.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"nothing completes in {shell} here", context)
    # What click makes asks bash for its version first, whichever shell runs this.
    click.echo(kind(context.find_root().command, {}, _PROGRAM, _VARIABLE).source_template % _words())


def _words() -> dict[str, str]:
    return {"complete_func": f"_{_PROGRAM}_completion", "complete_var": _VARIABLE, "prog_name": _PROGRAM}
