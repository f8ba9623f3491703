"""The command line: `durust up` and `durust ctl`, and the groups of commands from the floors below."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import click
from click.core import ParameterSource

from durust import clock
from durust.commands.completion import completion
from durust.commands.db import db
from durust.commands.exits import Exit, one_clear_line
from durust.commands.front import Front
from durust.commands.options import database_option, verbose_option
from durust.commands.queue import queue
from durust.commands.schedule import schedule
from durust.commands.version import version as version_group
from durust.commands.workflow import workflow
from durust.settings import Settings
from durust.storage.provider import StateProvider
from durust.supervisor.arbiter import Arbiter, hear_signals, stops_asked
from durust.supervisor.config import HANG_SECONDS_DEFAULT, Config
from durust.supervisor.ctl import ctl, pidfile_option
from durust.supervisor.hosting import open_database
from durust.supervisor.pidfile import Pidfile
from durust.supervisor.run import run
from durust.supervisor.signals import Signals

# Threads that wait for a database which does not answer must not keep an ended supervisor.
EXIT_SECONDS = 2.0
# How late a second signal is noticed while the database is being opened.
LOOK_SECONDS = 0.1

# What an application's own engine may say otherwise, so these are no defaults of the options.
DEFAULTS = Settings()


# Each option without a variable of its own has one by the name of its command, as in DURUST_WORKFLOW_LIST_LIMIT.
@click.group(
    "durust", cls=Front, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "DURUST"}
)
@click.version_option(version("durust"), prog_name="durust", allow_from_autoenv=False)
def main() -> None:
    """Durable execution: ordinary Python functions that survive the death of their process."""


for command in (run, ctl, workflow, queue, schedule, db, version_group, completion):
    main.add_command(command)


@main.command()
@click.argument("modules", nargs=-1, required=True, metavar="MODULE[:engine] [MODULE ...]")
@click.option(
    "--workers",
    default="auto",
    show_envvar=True,
    envvar="DURUST_WORKERS",
    show_default=True,
    metavar="N|auto",
    help="Processes.",
)
@click.option(
    "--slots",
    type=int,
    show_envvar=True,
    envvar="DURUST_SLOTS",
    metavar="N",
    help=f"Workflows that each process runs at once; {DEFAULTS.slots} where nothing says otherwise.",
)
@click.option(
    "--queues",
    show_envvar=True,
    envvar="DURUST_QUEUES",
    metavar="A,B",
    help="The queues to serve; by default all declared.",
)
@click.option(
    "--app-version",
    show_envvar=True,
    envvar="DURUST_APP_VERSION",
    metavar="NAME",
    help="The version of all workflows; by default each has a hash of its own code.",
)
@database_option
@click.option(
    "--drain-timeout",
    "drain_seconds",
    type=float,
    show_envvar=True,
    envvar=["DURUST_DRAIN_TIMEOUT", "DURUST_DRAIN_SECONDS"],
    metavar="SECONDS",
    help="How long an orderly end waits for what runs; then the rest is handed back. "
    f"{DEFAULTS.drain_seconds:g} where nothing says otherwise.",
)
@click.option(
    "--lease-seconds",
    type=float,
    show_envvar=True,
    envvar="DURUST_LEASE_SECONDS",
    metavar="SECONDS",
    help=f"How long a dead host's work stays with it; {DEFAULTS.lease_seconds:g} where nothing says otherwise.",
)
@click.option(
    "--retention-seconds",
    type=float,
    show_envvar=True,
    envvar="DURUST_RETENTION_SECONDS",
    metavar="SECONDS",
    help="How long workflows are kept after their end; by default for ever.",
)
@click.option(
    "--retention-count",
    type=int,
    show_envvar=True,
    envvar="DURUST_RETENTION_COUNT",
    metavar="N",
    help="How many ended workflows are kept at most; by default all.",
)
@click.option(
    "--hang-timeout",
    "hang_seconds",
    type=float,
    default=HANG_SECONDS_DEFAULT,
    show_envvar=True,
    envvar="DURUST_HANG_TIMEOUT",
    show_default=True,
    metavar="SECONDS",
    help="How long a worker may show no sign of life before it is killed; 0: for ever.",
)
@pidfile_option
@click.option(
    "--migrate/--no-migrate",
    "is_migrating",
    default=True,
    show_envvar=True,
    envvar="DURUST_MIGRATE",
    help="Whether to bring the schema up first.",
)
@verbose_option
def up(
    modules: tuple[str, ...],
    workers: str,
    slots: int | None,
    queues: str | None,
    app_version: str | None,
    url: str,
    drain_seconds: float | None,
    lease_seconds: float | None,
    retention_seconds: float | None,
    retention_count: int | None,
    hang_seconds: float,
    pidfile: Path | None,
    is_migrating: bool,
    is_verbose: bool,
) -> None:
    """Run the workflows of MODULEs in worker processes, until SIGTERM or SIGINT; a second one is quick."""
    _set_up_log(is_verbose=is_verbose)
    with one_clear_line(is_verbose=is_verbose):
        config = Config.read(
            modules,
            url=url,
            is_url_chosen=click.get_current_context().get_parameter_source("url") is not ParameterSource.DEFAULT,
            workers=workers,
            app_version=app_version,
            slots=slots,
            queues=queues,
            drain_seconds=drain_seconds,
            lease_seconds=lease_seconds,
            retention_seconds=retention_seconds,
            retention_count=retention_count,
            hang_seconds=hang_seconds,
            pidfile=pidfile,
            is_migrating=is_migrating,
            is_verbose=is_verbose,
        )
        # From here on, so that no signal leaves a database server behind that is just being started.
        signals = hear_signals()
        try:
            code = supervise(config, signals)
        finally:
            # One more signal must not change how an end looks that is all but over.
            signals.silence()
    raise click.exceptions.Exit(code)


def supervise(config: Config, signals: Signals) -> int:
    """Hold the pidfile, open the database and run the workers; return the exit code."""
    held = Pidfile.take(config.pidfile)
    try:
        with _impatience(signals):
            provider, config = open_database(config)
        try:
            with _impatience(signals):
                if config.is_migrating:
                    provider.migrate()
                else:
                    provider.check()
            queues = ", ".join(config.queues) if config.queues else "all declared"
            who = f"{config.workers} worker{'s'[: config.workers != 1]} of {config.settings.slots} slots"
            say(f"{who}, queues: {queues}, database {provider.name}, pid {os.getpid()}")
            return _run(config, provider, signals)
        finally:
            provider.close()
    finally:
        held.release()


@contextmanager
def _impatience(signals: Signals) -> Iterator[None]:
    """Let a first signal wait for the database, and a second one end the process where it stands."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_SECONDS):
            if stops_asked(signals) > 1:
                say("ended before the database was ready")
                os._exit(Exit.FAILED)

    thread = threading.Thread(target=watch, name="durust-impatience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _run(config: Config, provider: StateProvider, signals: Signals) -> int:
    arbiter = Arbiter(config, provider, say, signals)
    code: int = Exit.FAILED
    try:
        code = arbiter.run()
    finally:
        _force_end(code)
        arbiter.close()
    return code


def say(line: str) -> None:
    """Tell the user something, on standard error; a terminal that was closed or a reader that left changes nothing."""
    with suppress(OSError):
        click.echo(f"durust: {line}", err=True)


def _set_up_log(*, is_verbose: bool) -> None:
    """Show what happens inside only if asked for; what a user has to know is said in plain lines."""
    if is_verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    else:
        logging.getLogger("durust").addHandler(logging.NullHandler())


def _force_end(code: int) -> None:
    """End the process by force if its end takes too long: threads may wait for a database that does not answer."""

    def force() -> None:
        clock.pause(EXIT_SECONDS)
        os._exit(code)

    threading.Thread(target=force, name="durust-exit", daemon=True).start()
