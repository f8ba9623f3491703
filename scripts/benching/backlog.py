"""The backlog: what a claim takes while very many wait, beside the same claim where next to nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from statistics import median

from benching.queued import enqueue
from benching.report import Result
from benching.stores import Store
from durust import clock
from durust.engine.identity import registration
from durust.model.filters import ClaimRequest, QueueWant, Scope
from durust.settings import Settings
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider

LONG, SHORT, NAME, EXECUTOR = "long", "short", "waits", "du:bench"
MANY, FEW, CLAIMED = 200_000, 100, 50
# As many as an engine commits at once.
PORTION = 2_000
# One takes milliseconds; so many make a median that stays.
CLAIMS = 20


def backlog(store: Store) -> Iterator[Result]:
    """Measure claims of 50 while 200,000 wait in one queue, each right after one on another database."""
    with closing(_prepared(store)) as calm, closing(_prepared(store)) as busy:
        for _ in range(MANY // PORTION):
            enqueue(busy, NAME, LONG, PORTION)
        for queue in (LONG, SHORT):
            yield _beside(store, queue, calm, busy)


def _beside(store: Store, queue: str, calm: StateProvider, busy: StateProvider) -> Result:
    calm_ms, busy_ms = [], []
    for _ in range(CLAIMS):
        for provider, milliseconds in ((calm, calm_ms), (busy, busy_ms)):
            # As many as are claimed come in, so that the queues stay as long as they are.
            enqueue(provider, NAME, queue, CLAIMED)
            milliseconds.append(_claim(provider, queue))
    return Result(
        database=store.title,
        what=f"claim, {queue} queue",
        colour="",
        durust=median(busy_ms),
        ceiling=median(calm_ms),
        ratio=median(quiet / slow for quiet, slow in zip(calm_ms, busy_ms, strict=True)),
        unit="ms",
        extra=f"{MANY:,} wait",
        manner=f"the same claim of {CLAIMED} where {FEW} wait",
    )


def _prepared(store: Store) -> StateProvider:
    """Return a database with an executor on it and a few workflows in each queue."""
    provider = open_provider(store.make())
    with closing(provider.writer()) as writer:
        writer.commit([registration(EXECUTOR, EXECUTOR, Settings(lease_seconds=3600.0), None)])
    for queue in (LONG, SHORT):
        enqueue(provider, NAME, queue, FEW)
    for queue in (LONG, SHORT):
        # Every statement is prepared, on the one connection that is in use.
        _claim(provider, queue)
    return provider


def _claim(provider: StateProvider, queue: str) -> float:
    """Claim 50 and return the milliseconds that it took."""
    request = ClaimRequest(EXECUTOR, Scope("durust", (NAME,)), ("v1",), (QueueWant(queue, CLAIMED),), CLAIMED)
    started = clock.perf()
    claimed = provider.claim(request)
    took = (clock.perf() - started) * 1000
    if len(claimed) != CLAIMED:
        raise RuntimeError(f"{len(claimed)} of {CLAIMED} were claimed")
    return took
