"""How soon a reader in another process has what a workflow publishes: an event, a value of a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import durust
from benching.application import PUBLISHERS, QUEUE
from benching.report import Result
from benching.stores import Store
from benching.workers import running
from durust import clock

# One takes milliseconds; so many make a median that stays.
READINGS = 40
# They come one by one, so nothing is warm before some of them.
WARM_UP = 5
# A poll that never comes while this measures: what wakes the reader is a hint.
ASLEEP_SECONDS = 60.0
ASLEEP = {"DURUST_IDLE_POLL_SECONDS": str(ASLEEP_SECONDS)}
# Beyond this something hangs.
READ_SECONDS_MAX = 60.0

Read = Callable[[durust.DurableClient], list[float]]


def event(store: Store, colour: str, folder: Path) -> Result:
    """Measure from `ctx.set_event` in a worker to `get_event` in a client that waits for it already."""

    def read(client: durust.DurableClient) -> list[float]:
        latencies = []
        for _ in range(WARM_UP + READINGS):
            handle = client.enqueue(QUEUE.name, PUBLISHERS[colour].name, "event", 1)
            said = client.get_event(handle.id, "said", READ_SECONDS_MAX)
            latencies.append((clock.perf() - said) * 1000)
        return latencies

    return _measured(store, f"event in another process, poll {ASLEEP_SECONDS:g} s", colour, folder, read)


def stream(store: Store, colour: str, folder: Path) -> Result:
    """Measure from `ctx.write_stream` in a worker to a client that reads the stream as it grows."""

    def read(client: durust.DurableClient) -> list[float]:
        handle = client.enqueue(QUEUE.name, PUBLISHERS[colour].name, "stream", WARM_UP + READINGS)
        return [
            (clock.perf() - said) * 1000 for said in client.read_stream(handle.id, "said", timeout=READ_SECONDS_MAX)
        ]

    return _measured(store, f"stream in another process, poll {ASLEEP_SECONDS:g} s", colour, folder, read)


def _measured(store: Store, what: str, colour: str, folder: Path, read: Read) -> Result:
    url = store.make()
    bare = store.bare(store.make())
    watcher = store.watch(url)
    try:
        bare_ms = [bare.record_one_by_one(clock.ordered_id(), 1) * 1000 for _ in range(READINGS)]
        settings = durust.Settings.load(idle_poll_seconds=ASLEEP_SECONDS)
        with running(url, 1, watcher, folder, ASLEEP), durust.DurableClient(url, settings=settings) as client:
            read_ms = read(client)[WARM_UP:]
    finally:
        bare.close()
        watcher.close()
    return Result(
        database=store.title,
        what=what,
        colour=colour,
        durust=median(read_ms),
        ceiling=median(bare_ms),
        ratio=median(bare_ms) / median(read_ms),
        unit="ms",
        manner="one insert a commit, read by nobody",
    )
