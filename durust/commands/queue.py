"""`durust queue`: queues with their limits, and whether they are paused."""

from __future__ import annotations

from collections.abc import Callable

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.documents import queue_document
from durust.commands.front import Group
from durust.commands.ids import Done, each, names_argument
from durust.commands.options import limit_option, list_output_option, output_option, paused_option, prefix_option
from durust.commands.output import show_list, show_one
from durust.errors import QueueNotFound
from durust.model.filters import ListFilter
from durust.model.status import Status

# Who waits for ever is soon among the oldest.
OLDEST_MAX = 1000
COLUMNS = ("name", "paused", "global_concurrency", "worker_concurrency", "rate_limit", "rate_period_seconds")


@click.group(cls=Group)
def queue() -> None:
    """Look at queues, and pause or resume them."""


@queue.command("list")
@paused_option
@prefix_option
@limit_option
@list_output_option
@at_desk
def list_(desk: Desk, paused: bool | None, prefix: str, limit: int, output: str | None) -> None:
    """List the stored queues with their limits, by name."""
    rows = [row for row in desk.client.list_queues() if row.name.startswith(prefix) and paused in {None, row.is_paused}]
    show_list(output, [queue_document(row) for row in rows[:limit]], "name", COLUMNS)


@queue.command()
@click.argument("name")
@output_option
@at_desk
def show(desk: Desk, name: str, output: str | None) -> None:
    """Show one queue: its limits, how much of it waits and runs, and what waits in vain for want of a partition key."""
    row = desk.client.get_queue(name)
    query = ListFilter(queues=name, is_queued=True, limit=len(Status))
    counts = {each.status: each.count for each in desk.client.count_workflows(query)}
    show_one(
        output,
        {
            **queue_document(row),
            "waiting": counts.get(Status.ENQUEUED, 0),
            "running": counts.get(Status.PENDING, 0),
            "delayed": counts.get(Status.DELAYED, 0),
            "waiting_without_key": _without_key(desk, name) if row.has_partition_budget else 0,
        },
    )


def _without_key(desk: Desk, name: str) -> int:
    """Count who waits for ever, because such a queue takes only workflows with a partition key."""
    query = ListFilter(queues=name, statuses=Status.ENQUEUED, limit=OLDEST_MAX)
    return sum(row.partition_key is None for row in desk.client.list_workflows(query))


@queue.command()
@names_argument
@output_option
@at_desk
def pause(desk: Desk, names: tuple[str, ...], output: str | None) -> None:
    """Let nothing be claimed from queues any more; what runs goes on. `-` reads their names from standard input."""
    _turn(desk, names, desk.client.pause_queue, is_paused=True).tell(output, "queue")


@queue.command()
@names_argument
@output_option
@at_desk
def resume(desk: Desk, names: tuple[str, ...], output: str | None) -> None:
    """Let paused queues be claimed from again, at once. `-` reads their names from standard input."""
    _turn(desk, names, desk.client.resume_queue, is_paused=False).tell(output, "queue")


def _turn(desk: Desk, names: tuple[str, ...], give: Callable[[str], None], *, is_paused: bool) -> Done:
    verb = "paused" if is_paused else "resumed"

    def is_so(name: str) -> bool:
        return desk.client.get_queue(name).is_paused is is_paused

    return each(names, give, verb, absent=QueueNotFound, is_so=is_so)
