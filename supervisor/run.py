"""`durust run`: start one workflow, here or by the workers, and print its result."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from durust import DurableEngine, WorkflowHandle, WorkflowOptions
from durust.codec import PORTABLE_JSON, Codec
from durust.commands.criteria import attributes_of
from durust.commands.desk import desk
from durust.commands.durations import Duration
from durust.commands.exits import Exit, one_clear_line
from durust.commands.options import app_option, database_option, option, verbose_option
from durust.commands.output import say_json, warn
from durust.errors import DurustError, InvalidArgument, SerializationError
from durust.explaining import account_of
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.opening import VARIABLES, open_provider
from durust.supervisor.application import ApplicationFault, load_engine
from durust.supervisor.config import check_modules
from durust.texts import value_of

# So many characters of ARGS stand in an error: enough to know them by, and still one line.
TEXT_SEEN = 100


@click.command()
@click.argument("workflow")
@click.argument("arguments", required=False, default="[]", metavar="[ARGS]")
@option("--app", metavar="MODULE[:engine]", help="Run it in this process, with the code of MODULE.")
@option("--queue", metavar="NAME", help="Leave it to the workers that serve this queue, and wait for them.")
@option("--detach", is_flag=True, help="Leave it to the workers, and print only its id.")
@option("--id", metavar="ID", help="Its id; one that has ended prints its result and runs no more.")
@option("--timeout", type=Duration(), help="How long it may run, as in 90s or 2h; then it is cancelled.")
@option("--user", metavar="NAME", help="For whom it runs.")
@option("--role", "roles", multiple=True, metavar="NAME", help="A role of that user; it may be said several times.")
@option("--attribute", "attributes", multiple=True, metavar="NAME=JSON", help="By which lists find it.")
@database_option
@app_option
@verbose_option
def run(
    workflow: str,
    arguments: str,
    app: str | None,
    queue: str | None,
    detach: bool,
    id: str | None,
    timeout: float | None,
    user: str | None,
    roles: tuple[str, ...],
    attributes: tuple[str, ...],
    url: str,
    app_name: str,
    is_verbose: bool,
) -> None:
    """Start WORKFLOW and print its result as JSON.

    ARGS is JSON: a list of arguments, as in '["ada", 3]', an object of named ones, as in '{"to": "ada"}', or a lone
    text or number. `-` reads it from standard input. The code's own types are rebuilt from it.
    """
    if is_verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with one_clear_line(is_verbose=is_verbose):
        is_left = queue is not None or detach
        if (app is None) is not is_left:
            wanted = "say either --app MODULE, to run it here, or --queue NAME or --detach, to leave it to the workers"
            raise click.UsageError(wanted)
        text = sys.stdin.read() if arguments == "-" else arguments
        options = WorkflowOptions(
            workflow_id=id,
            timeout=timeout,
            authenticated_user=user,
            authenticated_roles=roles,
            attributes=attributes_of(attributes),
        )
        if app is not None:
            code = _run_here(app, workflow, text, options, url=url, app_name=app_name)
        else:
            args, kwargs = _read(text)
            with desk(url, app_name) as at:
                handle = at.client.enqueue(queue or INTERNAL_QUEUE, workflow, *args, options=options, **kwargs)
                if queue is not None and all(row.name != queue for row in at.provider.queues()):
                    warn(f"no worker has declared queue {queue!r} so far; {handle.id!r} waits for one that does")
                if detach:
                    click.echo(handle.id)
                    return
                _wait(handle)
            code = _tell(url, handle.id)
    raise click.exceptions.Exit(code)


def _read(text: str) -> tuple[list[Any], dict[str, Any]]:
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        wanted = """must be JSON, quoted for the shell: '["ada", 3]', '{"to": "ada"}' or '"ada"'"""
        raise InvalidArgument("ARGS", _seen(text), wanted) from None
    if isinstance(found, dict):
        return [], found
    return (found if isinstance(found, list) else [found]), {}


def _seen(text: str) -> str:
    return text if len(text) <= TEXT_SEEN else f"{text[:TEXT_SEEN]}..."


def _refuse(constant: str) -> Any:
    # Python reads NaN and Infinity, which no other reader of JSON does.
    raise ValueError(constant)


def _run_here(
    module: str,
    workflow: str,
    given: str,
    options: WorkflowOptions,
    *,
    url: str,
    app_name: str,
) -> Exit:
    [module] = check_modules([module])
    args, kwargs = _read(given)
    # The application's own engine and clients are to find the same database.
    os.environ[VARIABLES[0]] = url
    sys.path.insert(0, str(Path.cwd()))
    try:
        named = load_engine([module])
    except ApplicationFault as fault:
        raise Unloaded(str(fault)) from fault
    # It serves no queue: their work is for processes that stay.
    engine = DurableEngine(url, app_name=app_name, queues=[]) if named is None else named
    definition = engine._registry.get(workflow)  # noqa: SLF001  the arguments are to be rebuilt as a worker would
    with _launched(engine):
        text = json.dumps({"positionalArgs": args, "namedArgs": kwargs})
        try:
            typed, by_name = Codec().load_arguments(text, PORTABLE_JSON, definition.shape)
            handle = engine.run_workflow(workflow, *typed, options=options, **by_name)
        except TypeError as error:
            raise InvalidArgument("ARGS", _seen(given), str(error)) from error
        except SerializationError as error:
            raise InvalidArgument("ARGS", _seen(given), f"do not fit: {error.path}: {error.reason}") from error
        _wait(handle)
        return _tell(engine.database or url, handle.id)


@contextmanager
def _launched(engine: DurableEngine) -> Iterator[None]:
    engine.launch()
    try:
        yield
    finally:
        # What else it has taken up meanwhile is handed back: nobody waits at a prompt for it.
        engine.close(0)


def _wait(handle: WorkflowHandle[Any]) -> None:
    # How it ended is read from its row, so that no class of the application's has to be rebuilt.
    try:
        with suppress(Exception):
            handle.get_result()
    except KeyboardInterrupt:
        warn(f"workflow {handle.id!r} goes on where a worker takes it up")
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _tell(database: Any, workflow_id: str) -> Exit:
    """Print how a workflow ended, and return the exit code that says so."""
    provider = open_provider(database)
    try:
        account = account_of(provider, workflow_id)
    finally:
        if provider is not database:
            provider.close()
    if account.row.status is Status.SUCCESS:
        say_json(value_of(account.row.output, account.row.serialization))
        return Exit.OK
    warn(account.reason.sentence)
    return Exit.FAILED


class Unloaded(DurustError):
    """The application does not load, for a reason that a user can mend."""
