"""Throughput: many queued workflows of ten steps that do nothing."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, median

from benching.application import QUEUE
from benching.bare import Manner
from benching.report import Result
from benching.stores import Store, Watcher
from benching.workers import running, wait_until
from durust import clock
from durust.codec import Codec
from durust.model.writes import StartWorkflow
from durust.shapes import Shape
from durust.storage.opening import open_provider
from durust.storage.provider import Hint, StateProvider

STEPS = 10
# Every statement is prepared, every code path was run, and the claimer knows its pace.
WARM_UP = 200
# Far above what any of the measured databases needs for a round on a busy machine.
ROUND_SECONDS_MAX = 180.0
# Short beside a round, and rare enough to cost the database nothing.
LOOK_SECONDS = 0.02
# Transactions of one enqueueing: the rows, and the hint.
ENQUEUE_COMMITS = 2
# The ceiling takes a fraction of durust's time, so as many passes of it make up one round.
CEILING_PASSES = 3
# Of what a workflow does, this is counted as records: its steps and its end.
RECORDS = STEPS + 1


def throughput(store: Store, colour: str, workers: int, rounds: int, size: int, folder: Path) -> Result:
    """Measure *rounds* of *size* workflows, each right after the same rows in bare SQL."""
    # A database of its own, so that its commits are not counted as durust's.
    ceiling = Ceiling(store, size)
    url = store.make()
    provider, watcher = open_provider(url), store.watch(url)
    bare_seconds, seconds = [], []
    before = watcher.commits()
    try:
        with running(url, workers, watcher, folder):
            run(provider, watcher, colour, WARM_UP)
            for _ in range(rounds):
                bare_seconds.append(ceiling.run())
                seconds.append(run(provider, watcher, colour, size))
        after = watcher.commits()
    finally:
        ceiling.close()
        provider.close()
        watcher.close()
    records = (WARM_UP + rounds * size) * RECORDS
    commits = None if before is None or after is None else after - before - (rounds + 1) * ENQUEUE_COMMITS
    return Result(
        database=store.title,
        what=f"queued, {workers} worker{'s' if workers > 1 else ''}",
        colour=colour,
        durust=size * STEPS / median(seconds),
        ceiling=size * STEPS / median(bare_seconds),
        ratio=median(bare / mine for bare, mine in zip(bare_seconds, seconds, strict=True)),
        unit="steps/s",
        extra=f"{size / median(seconds):,.0f} workflows/s",
        records_a_commit=records / commits if commits else None,
        manner=str(ceiling.manner),
    )


def run(provider: StateProvider, watcher: Watcher, colour: str, size: int) -> float:
    """Enqueue *size* workflows in one commit and return the seconds until the last has ended."""
    enqueue(provider, colour, QUEUE.name, size)
    started = clock.perf()
    provider.announce([Hint("queue", QUEUE.name)])
    wait_until(watcher.is_idle, ROUND_SECONDS_MAX, LOOK_SECONDS)
    return clock.perf() - started


def enqueue(provider: StateProvider, name: str, queue: str, size: int) -> list[str]:
    """Commit *size* queued workflows at once and return their ids."""
    inputs = Codec().dump_arguments(Shape.of(_signature, skip_first=False), (STEPS,), {})
    writes = [
        StartWorkflow(
            workflow_id=clock.ordered_id(),
            name=name,
            inputs=inputs.text,
            serialization=inputs.serialization,
            creator=clock.token(),
            app_name="durust",
            queue=queue,
        )
        for _ in range(size)
    ]
    writer = provider.writer()
    try:
        writer.commit(writes)
    finally:
        writer.close()
    return [write.workflow_id for write in writes]


def _signature(count: int) -> None:
    """Stand for the workflows of the application."""


class Ceiling:
    """The same rows in bare SQL, in the manner that turned out to be the fastest."""

    def __init__(self, store: Store, size: int) -> None:
        self._size = size
        url = store.make()
        self._provider, self._writer = open_provider(url), store.bare(url)
        self.manner = min(self._writer.manners, key=self._best_of_two)

    def run(self) -> float:
        """Write a round's rows several times and return the mean seconds of one."""
        return fmean(self._pass(self.manner) for _ in range(CEILING_PASSES))

    def _pass(self, manner: Manner) -> float:
        ids = enqueue(self._provider, "bare", "bare", self._size)
        return self._writer.run(ids, STEPS, manner)

    def _best_of_two(self, manner: Manner) -> float:
        return min(self._pass(manner), self._pass(manner))

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._provider.close()
