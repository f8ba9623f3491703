"""`durust schedule`: what runs by itself, and when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.documents import schedule_document
from durust.commands.front import Group
from durust.commands.ids import Done, each, names_argument
from durust.commands.moments import Calendar
from durust.commands.options import (
    limit_option,
    list_output_option,
    option,
    output_option,
    paused_option,
    prefix_option,
)
from durust.commands.output import say_json, show_list, wants_json
from durust.errors import ScheduleNotFound

COLUMNS = ("name", "workflow", "cron", "timezone", "paused", "last", "next")


@click.group(cls=Group)
def schedule() -> None:
    """Look at schedules, pause and resume them, and start runs of theirs."""


@schedule.command("list")
@option("--workflow", metavar="NAME", help="Which start this workflow.")
@option("--queue", metavar="NAME", help="Whose runs wait on this queue.")
@paused_option
@prefix_option
@limit_option
@list_output_option
@at_desk
def list_(
    desk: Desk,
    workflow: str | None,
    queue: str | None,
    paused: bool | None,
    prefix: str,
    limit: int,
    output: str | None,
) -> None:
    """List the schedules of this application, by name."""
    rows = [
        schedule_document(found)
        for found in desk.client.list_schedules()
        if found.name.startswith(prefix)
        and paused in {None, found.is_paused}
        and workflow in {None, found.workflow}
        and queue in {None, found.queue}
    ]
    show_list(output, rows[:limit], "name", COLUMNS)


@schedule.command()
@names_argument
@output_option
@at_desk
def pause(desk: Desk, names: tuple[str, ...], output: str | None) -> None:
    """Stop schedules from firing. `-` reads their names from standard input."""
    _turn(desk, names, desk.client.pause_schedule, is_paused=True).tell(output, "schedule")


@schedule.command()
@names_argument
@output_option
@at_desk
def resume(desk: Desk, names: tuple[str, ...], output: str | None) -> None:
    """Let paused schedules fire from now on; the ticks of the pause never do. `-` reads names from standard input."""
    _turn(desk, names, desk.client.resume_schedule, is_paused=False).tell(output, "schedule")


@schedule.command()
@names_argument
@list_output_option
@at_desk
def trigger(desk: Desk, names: tuple[str, ...], output: str | None) -> None:
    """Start a run of each schedule now, paused or not, and print the ids of the runs."""
    runs: dict[str, str] = {}

    def start(name: str) -> None:
        runs[name] = desk.client.trigger_schedule(name).id

    told = each(names, start, "triggered", absent=ScheduleNotFound)
    _tell_runs(output, list(runs.values()), told)


@schedule.command()
@click.argument("name")
@option("--from", "from_", type=Calendar(), required=True, help="The first tick's instant at the earliest.")
@option("--to", type=Calendar(), required=True, help="The instant before which the last tick is.")
@list_output_option
@at_desk
def backfill(desk: Desk, name: str, from_: datetime, to: datetime, output: str | None) -> None:
    """Start a run for each tick that a schedule had between two instants, and print the ids of the runs.

    A tick that has its run already gets no other, so repeating it is harmless.
    """
    runs = [handle.id for handle in desk.client.backfill_schedule(name, from_, to)]
    _tell_runs(output, runs, Done("backfilled", [name], []))


def _tell_runs(output: str | None, runs: list[str], told: Done) -> None:
    if output == "ids":
        for run in runs:
            click.echo(run)
    elif wants_json(output):
        say_json({told.verb: list(told.done), "workflows": runs, "missing": list(told.missing)})
    else:
        click.echo(f"{len(runs)} run{'s'[: len(runs) != 1]} queued: {', '.join(runs) or 'none'}")
    told.warn("schedule")


def _turn(desk: Desk, names: tuple[str, ...], give: Callable[[str], None], *, is_paused: bool) -> Done:
    verb = "paused" if is_paused else "resumed"

    def is_so(name: str) -> bool:
        return desk.client.get_schedule(name).is_paused is is_paused

    return each(names, give, verb, absent=ScheduleNotFound, is_so=is_so)
