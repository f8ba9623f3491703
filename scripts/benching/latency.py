"""Latency: one step after the other, from enqueueing to the result, and until an idle worker wakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import durust
from benching.application import COLOURS, QUEUE
from benching.report import Result
from benching.stores import Store
from benching.workers import running
from durust import clock

# Long enough that the start and the end of the workflow do not count.
SEQUENCE = 300
# One takes milliseconds; so many make a median that stays.
ROUND_TRIPS = 100
# They come one by one, so nothing is warm before some of them.
WARM_UP = 10
# Each is followed by a rest, so there are fewer.
WAKES = 40
IDLE_SECONDS = 0.1
# A poll that never comes while this measures.
ASLEEP = {"DURUST_IDLE_POLL_SECONDS": "60"}
# Beyond this something hangs.
RESULT_SECONDS_MAX = 60.0


def sequential(store: Store, colour: str, rounds: int) -> Result:
    """Measure the steps of one workflow that runs alone, each committed before the next begins."""
    url = store.make()
    bare = store.bare(store.make())
    bare_ms, step_ms = [], []
    try:
        with durust.DurableEngine(url, queues=()) as engine:
            engine.start(COLOURS[colour], WARM_UP)
            for _ in range(rounds):
                bare_ms.append(bare.record_one_by_one(clock.ordered_id(), SEQUENCE) / SEQUENCE * 1000)
                started = clock.perf()
                engine.start(COLOURS[colour], SEQUENCE)
                step_ms.append((clock.perf() - started) / SEQUENCE * 1000)
    finally:
        bare.close()
    return _result(store, "one step", colour, step_ms, bare_ms, "one insert a commit")


def enqueue_to_result(store: Store, colour: str, folder: Path) -> Result:
    """Measure from `enqueue` in one process to the result there, with the workflow of one step run by another."""
    url = store.make()
    bare = store.bare(store.make())
    watcher = store.watch(url)
    bare_ms, result_ms = [], []
    try:
        with running(url, 1, watcher, folder), durust.DurableEngine(url, queues=()) as engine:
            for _ in range(WARM_UP + ROUND_TRIPS):
                bare_ms.append(bare.round_trip(clock.ordered_id()) * 1000)
                started = clock.perf()
                engine.enqueue(QUEUE, COLOURS[colour], 1).get_result(RESULT_SECONDS_MAX)
                result_ms.append((clock.perf() - started) * 1000)
    finally:
        bare.close()
        watcher.close()
    return _result(
        store, "enqueue to result", colour, result_ms[WARM_UP:], bare_ms[WARM_UP:], "four statements, four commits"
    )


def wake(store: Store, colour: str, folder: Path) -> Result:
    """Measure how soon an idle worker begins what a client of another process queues, while its poll sleeps."""
    url = store.make()
    bare = store.bare(store.make())
    watcher = store.watch(url)
    bare_ms, wake_ms, result_ms = [], [], []
    try:
        with running(url, 1, watcher, folder, ASLEEP), durust.DurableClient(url) as client:
            for _ in range(WARM_UP + WAKES):
                bare_ms.append(bare.round_trip(clock.ordered_id()) * 1000)
                # Long enough for the worker to have gone to sleep again.
                clock.pause(IDLE_SECONDS)
                started = clock.perf()
                handle = client.enqueue(QUEUE.name, COLOURS[colour].name, 1)
                handle.get_result(RESULT_SECONDS_MAX)
                result_ms.append((clock.perf() - started) * 1000)
                row = handle.get_status()
                # Both by the clock of the database.
                wake_ms.append((row.started_at_ms or 0) - row.created_at_ms)
    finally:
        bare.close()
        watcher.close()
    mine, its = result_ms[WARM_UP:], bare_ms[WARM_UP:]
    result = _result(store, "client wakes worker, poll 60 s", colour, mine, its, "four statements, four commits")
    return replace(result, extra=f"claimed after {mean(wake_ms[WARM_UP:]):.1f} ms")


def _result(store: Store, what: str, colour: str, mine: list[float], bare: list[float], manner: str) -> Result:
    return Result(
        database=store.title,
        what=what,
        colour=colour,
        durust=median(mine),
        ceiling=median(bare),
        ratio=median(its / my for its, my in zip(bare, mine, strict=True)),
        unit="ms",
        manner=manner,
    )
