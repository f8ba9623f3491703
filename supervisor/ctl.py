"""`durust ctl`: orders to a running supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from durust.commands.exits import one_clear_line
from durust.commands.front import Group
from durust.commands.options import option, output_option, verbose_option
from durust.commands.output import say_json, show, table_of, wants_json
from durust.supervisor.config import read_workers
from durust.supervisor.pidfile import default_pidfile
from durust.supervisor.remote import Overview, Remote

pidfile_option = option(
    "--pidfile",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DURUST_PIDFILE",
    help="The file that the supervisor holds locked; by default one for each folder that `durust up` runs in.",
)


@click.group(cls=Group)
def ctl() -> None:
    """Speak to the running supervisor of this folder, or of a pidfile."""


@ctl.command()
@pidfile_option
@output_option
@verbose_option
def status(pidfile: Path | None, output: str | None, is_verbose: bool) -> None:
    """Show the supervisor and its workers."""
    with one_clear_line(is_verbose=is_verbose), _remote(pidfile) as remote:
        overview = remote.status()
    if wants_json(output):
        say_json(_as_json(overview))
    else:
        _print_table(overview)


@ctl.command()
@click.argument("workers", metavar="N|auto")
@pidfile_option
@verbose_option
def scale(workers: str, pidfile: Path | None, is_verbose: bool) -> None:
    """Keep N workers from now on, `auto` for one on each core; those that are too many end in order."""
    with one_clear_line(is_verbose=is_verbose):
        number = read_workers(workers)
        with _remote(pidfile) as remote:
            pid = remote.scale(number)
    click.echo(f"the supervisor (pid {pid}) keeps {number} worker{'s'[: number != 1]} from now on")


@ctl.command()
@pidfile_option
@verbose_option
def recycle(pidfile: Path | None, is_verbose: bool) -> None:
    """Replace the workers by new ones, which load the code as it is now: a quarter at a time, each ends in order.

    When new ones do not come up, the old ones that are left stay.
    """
    with one_clear_line(is_verbose=is_verbose), _remote(pidfile) as remote:
        pid = remote.recycle()
    click.echo(f"the supervisor (pid {pid}) replaces its workers")


@ctl.command()
@pidfile_option
@verbose_option
def drain(pidfile: Path | None, is_verbose: bool) -> None:
    """End in order: finish or park what runs within the drain timeout, hand the rest back."""
    _order(pidfile, quick=False, is_verbose=is_verbose)


@ctl.command()
@pidfile_option
@verbose_option
def stop(pidfile: Path | None, is_verbose: bool) -> None:
    """End at once: hand back what runs."""
    _order(pidfile, quick=True, is_verbose=is_verbose)


def _order(pidfile: Path | None, *, quick: bool, is_verbose: bool) -> None:
    with one_clear_line(is_verbose=is_verbose), _remote(pidfile) as remote:
        pid = remote.drain(quick=quick)
    click.echo(f"the supervisor (pid {pid}) {'stops' if quick else 'drains'}")


@contextmanager
def _remote(pidfile: Path | None) -> Iterator[Remote]:
    remote = Remote((pidfile or default_pidfile()).absolute())
    try:
        yield remote
    finally:
        remote.close()


def _as_json(overview: Overview) -> dict[str, object]:
    supervisor = overview.supervisor
    return {
        "supervisor_id": supervisor.supervisor_id,
        "pid": supervisor.pid,
        "state": supervisor.state,
        "wanted": supervisor.workers,
        "deaths": supervisor.deaths,
        "handed_back": supervisor.handed_back,
        "dropped_frames": supervisor.dropped,
        "database_away": supervisor.is_database_away,
        "workers": [{name: getattr(worker, name) for name in worker.__struct_fields__} for worker in overview.workers],
    }


def _print_table(overview: Overview) -> None:
    supervisor = overview.supervisor
    away = ", the database does not answer" if supervisor.is_database_away else ""
    click.echo(
        f"supervisor pid {supervisor.pid}: {supervisor.state}{away}; deaths: {supervisor.deaths}, "
        f"workflows handed back: {supervisor.handed_back}"
    )
    rows = [
        {
            "worker": worker.index,
            "state": worker.state,
            "pid": worker.pid,
            "running": worker.running,
            "done": worker.done,
            "failed": worker.failed,
            "steps": worker.steps,
            "up": f"{worker.up_seconds:.0f} s",
        }
        for worker in overview.workers
    ]
    show(table_of(rows, tuple(rows[0]) if rows else ("worker",)))
