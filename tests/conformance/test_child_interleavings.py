"""Starts of children, ends, cancels with children and resumes in any order: row, result and effects tell one story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest

from durust.model.writes import Fenced, Outcome, StartChild, Write
from durust.storage import (
    batch,
    memory_batch,
    memory_writes,
    sqlite_statements,
    sqlite_writes,
)
from durust.storage.memory import InMemoryProvider
from durust.storage.memory_tables import Tables
from durust.storage.provider import StateProvider
from tests.conformance.families import Commit, World, one_after_the_other
from tests.storage.races import cut

# Each block is one test, so that workers share them.
BLOCKS = 5
# The families of one block: in all 5,000 in memory and on SQLite, 500 on Postgres.
WORLDS_IN_BLOCK = {"memory": 5, "sqlite": 5, "postgres": 1}
FAMILIES_IN_WORLD = {"memory": 200, "sqlite": 200, "postgres": 100}
# More than it ever took, for a bug that was planted.
WORLDS_MAX = 20


@pytest.fixture
def commit_all(provider: StateProvider) -> Iterator[Commit]:
    """Return what commits the batches of a round: on Postgres, whose rows have locks of their own, at once."""
    if isinstance(provider, InMemoryProvider) or provider.name.startswith("sqlite"):
        yield one_after_the_other(provider)
        return
    with ExitStack() as opened, ThreadPoolExecutor(3) as pool:
        writers = [opened.enter_context(closing(provider.writer())) for _ in range(3)]

        def together(batches: Sequence[Sequence[Write]]) -> list[list[Outcome]]:
            return list(pool.map(lambda writer, writes: writer.commit(writes), writers, batches))

        yield together


@pytest.mark.covers(124, 131)
@pytest.mark.protocol("4.child", "4.cancel.children")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_families_tell_one_story_whatever_order_things_happen_in(
    provider: StateProvider, url: str, commit_all: Commit, block: int
) -> None:
    kind = url.partition(":")[0].replace("postgresql", "postgres")
    seeds = range(100 * block, 100 * block + WORLDS_IN_BLOCK[kind])

    live_in(provider, commit_all, seeds, FAMILIES_IN_WORLD[kind])


def test_a_child_that_starts_without_its_parents_claim_is_noticed(
    provider: StateProvider, commit_all: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_a_start_without_a_guard(monkeypatch)

    with pytest.raises(AssertionError, match=r"seed \d+: .* outlived the cancel of"):
        live_in(provider, commit_all, range(WORLDS_MAX), 50)


def live_in(provider: StateProvider, commit_all: Commit, seeds: Iterable[int], families: int) -> None:
    """Let one world after the other live; each prints its seed where it fails."""
    for seed in seeds:
        World(provider, seed, families, commit_all).live()


def plant_a_start_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every provider start children whether the parent is the run's or not."""
    begin, explain = memory_writes.children.start_child, sqlite_writes.guards.explain

    def start_child(tables: Tables, write: StartChild) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory_writes.guards, "fenced", lambda *_: None)
            return begin(tables, write)

    def unfenced(transaction: Any, write: Any) -> Outcome | None:
        outcome = explain(transaction, write)
        return None if isinstance(write, StartChild) and isinstance(outcome, Fenced) else outcome

    monkeypatch.setitem(memory_batch._APPLY, StartChild, start_child)
    monkeypatch.setattr(sqlite_writes.children, "explain", unfenced)
    for statements, guard in (
        (batch.SQL, "w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token\n       and "),
        (sqlite_statements.SQL, "and w.status = 'PENDING' and w.executor_id = :executor and w.owner_xid = :token"),
    ):
        shipped = statements.start_children
        monkeypatch.setitem(statements._statements, "start_children", replace(shipped, sql=cut(shipped.sql, guard)))
