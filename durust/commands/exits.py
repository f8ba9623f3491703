"""The exit codes of the command line, and how an error becomes one of them with one clear line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

from durust.errors import (
    DurustError,
    InvalidArgument,
    ProviderMisuse,
    ProviderUnavailable,
    QueueDeduplicated,
    QueueNotFound,
    ScheduleConflict,
    ScheduleNotFound,
    SchemaMismatch,
    VersionNotFound,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowNotRegistered,
)


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    INTERRUPTED = 130
    """As a shell says of what SIGINT ended."""


def exit_code(error: DurustError) -> Exit:
    """Return the exit code for *error*; a class of error outside `durust.errors` brings its own as `exit_code`."""
    match error:
        case ProviderUnavailable():
            return Exit.UNREACHABLE
        case InvalidArgument() | ProviderMisuse():
            return Exit.USAGE
        case WorkflowNotFound() | WorkflowNotRegistered() | QueueNotFound() | ScheduleNotFound() | VersionNotFound():
            return Exit.NOT_FOUND
        case WorkflowConflict() | QueueDeduplicated() | ScheduleConflict():
            return Exit.CONFLICT
        case _:
            return Exit(getattr(error, "exit_code", Exit.FAILED))


@contextmanager
def one_clear_line(*, is_verbose: bool = False) -> Iterator[None]:
    """Turn an error into a line on standard error and its exit code; the traceback only if asked for."""
    try:
        yield
    except DurustError as error:
        _tell(f"{error}{_remedy(error)}", is_verbose=is_verbose)
        raise click.exceptions.Exit(exit_code(error)) from error
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        # Click has a line or a code of its own for each of these, and none for a reader that left.
        raise
    except KeyboardInterrupt as error:
        _tell("interrupted", is_verbose=is_verbose)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from error
    except OSError as error:
        _tell(_of_the_system(error), is_verbose=is_verbose)
        raise click.exceptions.Exit(Exit.FAILED) from error
    except Exception as error:
        _tell(
            f"{type(error).__name__}: {error}; this is a bug of durust's, and --verbose shows where",
            is_verbose=is_verbose,
        )
        raise click.exceptions.Exit(Exit.FAILED) from error


def _tell(said: str, *, is_verbose: bool) -> None:
    if is_verbose:
        traceback.print_exc()
    # What a database's driver says may have several lines; the first command of a user should get one.
    click.echo(f"durust: {' '.join(said.split())}", err=True)


def _of_the_system(error: OSError) -> str:
    """Return what the system says, without its number; what has no name is standard output most of the time."""
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{error.strerror or error}"


def _remedy(error: DurustError) -> str:
    is_unmigrated = isinstance(error, SchemaMismatch) and error.wanted.endswith("has migrated")
    return "; `durust db migrate` makes it one" if is_unmigrated else ""
