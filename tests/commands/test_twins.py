"""Each flag has a variable, and a shell completes all of them."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.shell_completion import get_completion_class

from durust.commands.completion import SHELLS
from durust.storage.provider import StateProvider
from durust.supervisor.cli import main
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import make_enqueued
from tests.support.processes import Spawn

# Of click's own, which end the command at once.
ENDING = {"--help", "--version"}


def leaves(command: click.Command = main, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Return the context of each command that is no group."""
    name = "durust" if parent is None else command.name
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from leaves(each, context)
    else:
        yield context


def flags(context: click.Context) -> Iterator[click.Option]:
    """Return the options of a command that a variable may set."""
    for each in context.command.params:
        if isinstance(each, click.Option) and not ENDING & set(each.opts):
            yield each


def test_each_flag_has_a_variable_that_the_help_names() -> None:
    nameless = []
    for context in leaves():
        told = "".join(context.get_help().split())
        for flag in flags(context):
            longest = max(flag.opts, key=len).lstrip("-").replace("-", "_").upper()
            own = [flag.envvar] if isinstance(flag.envvar, str) else list(flag.envvar or ())
            wanted = own or [f"{context.auto_envvar_prefix}_{longest}"]
            if not all(variable.startswith(("DURUST_", "DATABASE_")) and variable in told for variable in wanted):
                nameless.append((context.command_path, flag.opts))

    assert nameless == []


def test_a_variable_sets_its_flag(answer: Answer, provider: StateProvider) -> None:
    for name in "abc":
        make_enqueued(provider, name)

    listed = answer(
        "workflow", "list", env={"DURUST_WORKFLOW_LIST_LIMIT": "2", "DURUST_WORKFLOW_LIST_STATUS": "ENQUEUED"}
    )

    assert [row["id"] for row in listed] == ["c", "b"]


def test_a_variable_that_a_command_cannot_take_breaks_it_not(durust: Durust, provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    env = {"DURUST_OUTPUT": "ids", "DURUST_VERSION": "1"}

    assert durust("db", "status", env=env).exit_code == 0
    assert durust("workflow", "list", env=env).stdout == "a\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_how_to_complete(durust: Durust, shell: str) -> None:
    told = durust("completion", shell)

    assert told.exit_code == 0
    assert f"_DURUST_COMPLETE={shell}_complete" in told.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("durust work", ["workflow"]),
        ("durust workflow s", ["show", "steps"]),
        ("durust workflow list --stat", ["--status"]),
        ("durust workflow list --status E", ["enqueued", "error"]),
        ("durust completion z", ["zsh"]),
    ],
)
def test_completion_offers_commands_flags_and_states(line: str, offered: list[str]) -> None:
    *arguments, incomplete = line.split()[1:]
    kind = get_completion_class("bash")
    assert kind is not None

    found = kind(main, {}, "durust", "_DURUST_COMPLETE").get_completions(arguments, incomplete)

    assert [each.value for each in found] == offered


def test_a_shell_is_answered_by_a_process_of_its_own(spawn: Spawn) -> None:
    asking = {"_DURUST_COMPLETE": "bash_complete", "COMP_WORDS": "durust workflow s", "COMP_CWORD": "2"}

    answered = spawn("-c", "from durust.supervisor.cli import main; main(prog_name='durust')", env=asking)

    assert answered.wait() == 0, answered.stderr
    assert answered.stdout.split() == ["plain,show", "plain,steps"]
