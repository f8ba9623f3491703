"""How soon a workflow that waits for a message has it, in the sender's process and in another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import durust
from benching.application import QUEUE, RECEIVERS, REST_SECONDS
from benching.report import Result
from benching.stores import Store
from benching.workers import running
from durust import clock

# One takes milliseconds; so many make a median that stays.
MESSAGES = 40
# They come one by one, so nothing is warm before some of them.
WARM_UP = 5
# A poll that never comes while this measures: what wakes the receiver is a hint.
ASLEEP_SECONDS = 60.0
ASLEEP = {"DURUST_IDLE_POLL_SECONDS": str(ASLEEP_SECONDS)}
# Beyond this something hangs.
RESULT_SECONDS_MAX = 60.0


def message_here(store: Store, colour: str) -> Result:
    """Measure from `engine.send` to a workflow of the same process that waits for it already."""

    def exchange(url: str) -> list[float]:
        settings = durust.Settings.load(idle_poll_seconds=ASLEEP_SECONDS)
        with durust.DurableEngine(url, settings=settings, queues=()) as engine:
            return _sent(engine, engine.run_workflow(RECEIVERS[colour], WARM_UP + MESSAGES))

    return _measured(store, f"message in one process, poll {ASLEEP_SECONDS:g} s", colour, exchange)


def message_there(store: Store, colour: str, folder: Path) -> Result:
    """Measure from `client.send` to a workflow in a worker that waits for it already."""

    def exchange(url: str) -> list[float]:
        watcher = store.watch(url)
        try:
            with running(url, 1, watcher, folder, ASLEEP), durust.DurableClient(url) as client:
                handle = client.enqueue(QUEUE.name, RECEIVERS[colour].name, WARM_UP + MESSAGES)
                return _sent(client, handle)
        finally:
            watcher.close()

    return _measured(store, f"message to another process, poll {ASLEEP_SECONDS:g} s", colour, exchange)


def _sent(sender: Any, handle: durust.WorkflowHandle[list[float]]) -> list[float]:
    """Send one message after the other, each with what time it is; return how long each took."""
    for _ in range(WARM_UP + MESSAGES):
        # Long enough for the receiver to wait again.
        clock.pause(REST_SECONDS)
        sender.send(handle.id, clock.perf())
    return handle.get_result(RESULT_SECONDS_MAX)[WARM_UP:]


def _measured(store: Store, what: str, colour: str, exchange: Callable[[str], list[float]]) -> Result:
    bare = store.bare(store.make())
    try:
        bare_ms = [bare.record_one_by_one(clock.ordered_id(), 1) * 1000 for _ in range(MESSAGES)]
    finally:
        bare.close()
    message_ms = exchange(store.make())
    return Result(
        database=store.title,
        what=what,
        colour=colour,
        durust=median(message_ms),
        ceiling=median(bare_ms),
        ratio=median(bare_ms) / median(message_ms),
        unit="ms",
        manner="one insert a commit, read by nobody",
    )
