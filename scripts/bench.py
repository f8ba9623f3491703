"""The benchmark: durust's throughput and latency, each beside its ceiling, bare batched SQL in the same run.

What is measured alternates with its ceiling, round by round, and medians are reported: so the ratio holds on a machine
that is busy with other things.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from benching.application import COLOURS
from benching.backlog import backlog
from benching.latency import enqueue_to_result, sequential, wake
from benching.mailing import message_here, message_there
from benching.publishing import event, stream
from benching.queued import throughput
from benching.report import Result, print_markdown, print_table
from benching.stores import Store, open_store
from benching.where import where

TITLES = ("Postgres", "SQLite")
WORKERS = (1, 2)
# Long enough that the first claim and the last commit do not count, short enough for several rounds in a few minutes.
SIZE = 1000
ROUNDS = 3


@click.command()
@click.option("--markdown", is_flag=True, help="Print the table in Markdown.")
@click.option("--only", type=click.Choice(TITLES, case_sensitive=False), help="Measure one database alone.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="Rounds of each measurement.")
@click.option("--size", default=SIZE, show_default=True, help="Workflows in a round of the queue.")
def main(*, markdown: bool, only: str | None, rounds: int, size: int) -> None:
    """Measure throughput and latency beside their ceilings."""
    results = []
    shares = []
    with tempfile.TemporaryDirectory(prefix="durust-bench-") as folder:
        # The server may work as another user, who has to get in.
        Path(folder).chmod(0o711)
        for title in [only] if only else TITLES:
            with open_store(title, Path(folder)) as store:
                for result in measure(store, rounds, size, Path(folder)):
                    click.echo("  ".join(filter(None, result.cells())), err=True)
                    results.append(result)
                shares += where(store, rounds, size)
    (print_markdown if markdown else print_table)(results)
    click.echo("\n".join(["", *shares]))


def measure(store: Store, rounds: int, size: int, folder: Path) -> Iterator[Result]:
    """Measure everything on one database."""
    for colour in COLOURS:
        for workers in WORKERS:
            yield throughput(store, colour, workers, rounds, size, folder)
    for colour in COLOURS:
        yield sequential(store, colour, rounds)
    for colour in COLOURS:
        yield enqueue_to_result(store, colour, folder)
        yield wake(store, colour, folder)
        yield message_here(store, colour)
        yield message_there(store, colour, folder)
        yield event(store, colour, folder)
        yield stream(store, colour, folder)
    yield from backlog(store)


if __name__ == "__main__":
    main()
