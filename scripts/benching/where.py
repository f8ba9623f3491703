"""Where the time goes: the processor time of each thread of a worker, and of the database beside it."""

from __future__ import annotations

import threading
from collections import Counter

import psutil

import durust
from benching.queued import STEPS, WARM_UP, run
from benching.stores import Store
from durust import clock
from durust.storage.opening import open_provider

# Processor time is counted in hundredths of a second, so it takes some rounds to say something.
ROUNDS = 10
# What a server's processes for single connections are called.
BACKEND = "postgres: "


def where(store: Store, rounds: int, size: int) -> list[str]:
    """Return a line for everything that works while async workflows of ten steps are run in this process."""
    url = store.make()
    provider, watcher = open_provider(url), store.watch(url)
    try:
        with durust.DurableEngine(url, migrate=False):
            run(provider, watcher, "async", WARM_UP)
            before, started = _spent(), clock.perf()
            for _ in range(rounds * ROUNDS):
                run(provider, watcher, "async", size)
            elapsed, spent = clock.perf() - started, _spent()
    finally:
        provider.close()
        watcher.close()
    spent.subtract(before)
    steps = rounds * ROUNDS * size * STEPS
    lines = [
        f"{store.title}: 10,000 steps of async workflows in one process take {elapsed / steps * 1e7:,.0f} ms; at work"
    ]
    return lines + [f"  {name:20} {seconds / steps * 1e7:5,.0f} ms" for name, seconds in spent.most_common(6)]


def _spent() -> Counter[str]:
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    # The main thread enqueues and looks whether all is done: that is the measurement's.
    names.pop(threading.main_thread().native_id, None)
    spent = Counter(
        {
            names[thread.id]: thread.user_time + thread.system_time
            for thread in psutil.Process().threads()
            if thread.id in names
        }
    )
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        if " ".join(process.info["cmdline"] or ()).startswith(BACKEND) and process.info["cpu_times"]:
            spent["the database"] += process.info["cpu_times"].user + process.info["cpu_times"].system
    return spent
