"""Check and write are one transaction: each race is harmless with the shipped SQL, and does harm once it is cut."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from durust import clock
from durust.model.claims import Claimed
from durust.model.status import Status
from durust.model.writes import Alive, Beat
from durust.storage import sqlite_links
from durust.storage.sqlite import SqliteProvider
from durust.storage.sqlite_statements import SQL
from durust.storage.statements import Statement
from tests.conformance.builders import (
    LONG_SECONDS,
    commit,
    commit_one,
    executor,
    finish,
    hand_back,
    history,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    reclaim,
    record_sleep,
    record_step,
    row_of,
    start,
    sweep,
    want,
)
from tests.storage.opened import opened
from tests.storage.races import cut
from tests.support.waiting import TIMEOUT_SECONDS

IMMEDIATE, DEFERRED, NONE = "begin immediate", "begin", "select 1"


class Stage:
    """Two providers on one file, one of which can be stopped at a failpoint; its transactions may be cut."""

    def __init__(self, path: Path, first: SqliteProvider, second: SqliteProvider, patch: pytest.MonkeyPatch) -> None:
        self.path, self.first, self.second, self._patch = path, first, second, patch
        self._threads = ThreadPoolExecutor(2)
        self._reached, self._open = threading.Event(), threading.Event()

    def begin_by(self, sql: str) -> None:
        """Let every write begin with *sql*; after a `select` it has no transaction at all."""
        self.replace("begin_write", sql)

    def replace(self, name: str, sql: str) -> None:
        """Let the statement *name* be *sql*."""
        statement = Statement(name, sql, writes=getattr(SQL, name).writes)
        self._patch.setitem(SQL._statements, name, statement)

    @contextmanager
    def stopped(self, name: str, act: Callable[[], Any]) -> Iterator[Future[Any]]:
        """Run *act* in a thread until it reaches the failpoint *name*, and let it go on behind the block."""
        acting: list[int] = []

        def stop(reached: str) -> None:
            if reached == name and threading.get_ident() in acting:
                self._reached.set()
                assert self._open.wait(TIMEOUT_SECONDS)

        def run() -> object:
            acting.append(threading.get_ident())
            return act()

        self._patch.setattr(sqlite_links, "failpoint", stop)
        running = self._threads.submit(run)
        assert self._reached.wait(TIMEOUT_SECONDS)
        try:
            yield running
        finally:
            self._open.set()

    def watch(self, name: str) -> threading.Event:
        """Return an event that is set when anybody reaches the failpoint *name*."""
        self._patch.setattr(sqlite_links, "failpoint", lambda reached: self._reached.set() if reached == name else None)
        return self._reached

    def start(self, act: Callable[[], Any]) -> Future[Any]:
        """Run *act* in a thread."""
        return self._threads.submit(act)

    def close(self) -> None:
        """Let everything end."""
        self._open.set()
        self._threads.shutdown()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return a stage on a migrated file."""
    path = tmp_path / "durust.db"
    with opened(path) as first, opened(path) as second:
        made = Stage(path, first, second, monkeypatch)
        yield made
        made.close()


def is_settled(running: Future[Any]) -> bool:
    """Tell whether *running* has ended, having been given the time in which it would unless it waits for a lock."""
    try:
        running.result(0.3)
    except TimeoutError:
        return False
    return True


@pytest.mark.protocol("6.begin-immediate")
@pytest.mark.parametrize(("begin", "is_whole"), [(IMMEDIATE, True), (NONE, False)], ids=["shipped", "cut"])
def test_nobody_claims_a_workflow_whose_inputs_are_still_to_come(stage: Stage, begin: str, *, is_whole: bool) -> None:
    make_executor(stage.second, "second")
    stage.begin_by(begin)

    with stage.stopped("sql.store_inputs.before", lambda: commit_one(stage.first, start("a", inputs="[1]"))):
        early = stage.second.claim(want("second"))
    stage.close()

    late = stage.second.claim(want("second"))
    assert [claimed.inputs for claimed in (*early, *late)] == (["[1]"] if is_whole else [None])


@pytest.mark.protocol("6.begin-immediate")
@pytest.mark.parametrize(("begin", "is_whole"), [(IMMEDIATE, True), (NONE, False)], ids=["shipped", "cut"])
def test_nobody_reads_a_success_without_its_result(stage: Stage, begin: str, *, is_whole: bool) -> None:
    claimed = make_claimed(stage.first, "a")
    stage.begin_by(begin)

    with stage.stopped("sql.store_outputs.before", lambda: commit_one(stage.first, finish(claimed))):
        row = row_of(stage.second, "a")

    assert (row.status, row.output) == (Status.PENDING if is_whole else Status.SUCCESS, None)


@pytest.mark.protocol("6.begin-immediate", "4.beat.reaped-is-told")
@pytest.mark.parametrize(("begin", "is_told"), [(IMMEDIATE, True), (NONE, False)], ids=["shipped", "cut"])
def test_a_beat_that_is_confirmed_was_not_reaped_meanwhile(stage: Stage, begin: str, *, is_told: bool) -> None:
    make_claimed(stage.first, "a", by="first")
    lapse(stage.first, "first")
    stage.begin_by(begin)

    with stage.stopped("sql.retire_executors.before", lambda: sweep(stage.first)) as sweeping:
        beating = stage.start(lambda: commit_one(stage.second, Beat(("first",), LONG_SECONDS)))
        has_waited = not is_settled(beating)

    assert sweeping.result().reaped == ("first",)
    assert beating.result() == Alive(frozenset() if is_told else frozenset({"first"}))
    assert (has_waited, executor(stage.first, "first").state) == (is_told, "DEAD")


@pytest.mark.protocol("6.begin-immediate", "6.lease-time")
@pytest.mark.parametrize(("begin", "is_refused"), [(IMMEDIATE, True), (NONE, False)], ids=["shipped", "cut"])
def test_a_claim_that_waited_past_its_lease_takes_nothing(stage: Stage, begin: str, *, is_refused: bool) -> None:
    make_enqueued(stage.first, "a")
    make_executor(stage.first, "first")
    began = stage.watch("sql.claim_workflows.before")
    stage.begin_by(begin)

    with closing(sqlite3.connect(stage.path, isolation_level=None)) as holder:
        holder.execute("begin immediate")
        claiming = stage.start(lambda: stage.second.claim(want("first")))
        # Without a transaction it has read the clock by now; in one it is still to get the lock first.
        assert began.wait(0.3 if is_refused else TIMEOUT_SECONDS) is not is_refused
        holder.execute("update durust_leases set lease_until = ?", (clock.boottime(),))
        holder.execute("commit")

    assert bool(claiming.result(TIMEOUT_SECONDS)) is not is_refused


@pytest.mark.protocol("6.begin-immediate")
@pytest.mark.parametrize("begin", [IMMEDIATE, DEFERRED, NONE])
def test_of_two_claims_that_meet_one_gets_the_row(stage: Stage, begin: str) -> None:
    make_enqueued(stage.first, "a")
    make_executor(stage.first, "first")
    make_executor(stage.first, "second")
    stage.begin_by(begin)

    # However it begins: to look for a row and to take it are one statement, which needs no transaction around it.
    with stage.stopped("sql.claim_workflows.before", lambda: stage.first.claim(want("first"))) as first:
        second = stage.start(lambda: stage.second.claim(want("second")))
        has_waited = not is_settled(second)
    taken = [*first.result(TIMEOUT_SECONDS), *second.result(TIMEOUT_SECONDS)]

    [granted] = taken
    row = row_of(stage.first, "a")
    assert (row.executor_id, row.token, row.attempts) == (granted.lease.executor_id, granted.lease.token, 1)
    assert has_waited is (begin == IMMEDIATE)


Write = Callable[..., Any]
WRITES: dict[str, Write] = {
    "record_steps": record_step,
    "record_sleeps": record_sleep,
    "finish_workflows": finish,
    "park_workflows": park,
    "hand_back_workflows": hand_back,
}
GUARD = {
    "status": "{0}status = 'PENDING'",
    "executor": " and {0}executor_id = :executor",
    "token": " and {0}owner_xid = :token",
}
CHAIN = """   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)
"""


def cut_guard(stage: Stage, name: str) -> None:
    """Cut the three conditions of the guard out of a statement."""
    sql, prefix = getattr(SQL, name).sql, "w." if name.startswith("record") else ""
    for condition in GUARD.values():
        sql = cut(sql, condition.format(prefix), "1" if "status" in condition else "")
    stage.replace(name, sql)


def trace(provider: SqliteProvider, claimed: Claimed) -> object:
    """Return what a write of a run may have left."""
    return row_of(provider, claimed.lease.workflow_id), history(provider, claimed.lease.workflow_id)


@pytest.mark.protocol("3.guard.condition")
@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_zombie_changes_nothing(stage: Stage, name: str, *, is_cut: bool) -> None:
    zombie = make_claimed(stage.first, "a", by="first")
    reclaim(stage.first, zombie.lease, by="second")
    before = trace(stage.first, zombie)
    if is_cut:
        cut_guard(stage, name)

    commit(stage.second, WRITES[name](zombie))

    assert (trace(stage.first, zombie) == before) is not is_cut


@pytest.mark.protocol("3.chain")
@pytest.mark.parametrize("name", [name for name in WRITES if name != "hand_back_workflows"])
@pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
def test_a_run_whose_history_is_lost_changes_nothing(stage: Stage, name: str, *, is_cut: bool) -> None:
    run = make_claimed(stage.first, "a", by="first")
    before = trace(stage.first, run)
    if is_cut:
        stage.replace(name, cut(getattr(SQL, name).sql + "\n", CHAIN))

    commit(stage.second, WRITES[name](run, after=7))

    assert (trace(stage.first, run) == before) is not is_cut
