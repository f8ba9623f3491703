"""Whatever order the operations come in, a provider answers like the one in memory, and holds the same rows."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from durust.model.copies import ImportWorkflows
from durust.model.publications import AppendStream
from durust.model.schedule_writes import FireTicks
from durust.model.writes import DebounceWorkflow, ParkWorkflow, Recorded, Write
from durust.storage import sqlite_batch
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import StateProvider
from tests.conformance.conftest import rewriter
from tests.conformance.walks import Side, Walk
from tests.conformance.wide_walks import WideWalk

# Together two hundred walks; each block is one test, so that workers share them.
BLOCKS, WALKS_IN_BLOCK = 10, 20
# Fewer of the wide ones, which look at more.
WIDE_BLOCKS = 3
WIDE_WALKS_IN_BLOCK = {"memory": 4, "sqlite": 8, "postgres": 2}
# More than it ever took, for a bug that was planted.
WALKS_MAX = 100


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_walk_of_any_order_ends_where_the_reference_ends(provider: StateProvider, url: str, block: int) -> None:
    walk_all(Walk, provider, url, range(block * WALKS_IN_BLOCK, (block + 1) * WALKS_IN_BLOCK))


@pytest.mark.parametrize("block", range(WIDE_BLOCKS))
def test_a_walk_through_every_write_is_read_alike_at_each_step(provider: StateProvider, url: str, block: int) -> None:
    number = WIDE_WALKS_IN_BLOCK[url.partition(":")[0].replace("postgresql", "postgres")]
    walk_all(WideWalk, provider, url, range(100 * block, 100 * block + number))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", [AppendStream, FireTicks, ImportWorkflows, DebounceWorkflow, ParkWorkflow])
def test_a_write_that_does_nothing_is_noticed(
    provider: StateProvider, url: str, monkeypatch: pytest.MonkeyPatch, kind: type[Write]
) -> None:
    if kind is DebounceWorkflow:
        monkeypatch.setattr(sqlite_batch, "debounce", lambda *_: Recorded())
    else:
        monkeypatch.setitem(sqlite_batch._APPLY, kind, lambda *_: Recorded())

    with pytest.raises(AssertionError, match="differ in walk"):
        walk_all(WideWalk, provider, url, range(WALKS_MAX))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_waiter_that_nobody_wakes_is_noticed(
    provider: StateProvider, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_batch, "wake_all", lambda *_: frozenset())

    with pytest.raises(AssertionError, match="differ in walk"):
        walk_all(WideWalk, provider, url, range(WALKS_MAX))


def walk_all(kind: type[Walk], provider: StateProvider, url: str, seeds: Iterable[int]) -> None:
    """Walk beside the reference, once for each seed."""
    for seed in seeds:
        model = InMemoryProvider()
        kind(seed, (Side(model, rewriter("memory://", model)), Side(provider, rewriter(url, provider)))).run()
