"""The pool runs each job at once, keeps no thread that is idle, and loses no job to a thread that leaves."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from durust.engine import threads
from durust.engine.threads import ThreadPool
from tests.support.waiting import TIMEOUT_SECONDS, eventually


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool()
    yield made
    made.close()
    eventually(lambda: pool_threads() == [])


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("durust-run-")]


def run(pool: ThreadPool, job: Callable[..., object], *args: object) -> None:
    def work() -> None:
        job(*args)

    pool.run(work)


def run_and_wait(pool: ThreadPool, job: Callable[..., object], *args: object) -> None:
    """Run *job* and wait until its thread is idle."""
    rested = len(pool._idle) or 1
    run(pool, job, *args)
    eventually(lambda: len(pool._idle) == rested)


def test_jobs_run_at_once_in_threads_of_their_own(pool: ThreadPool) -> None:
    all_there = threading.Barrier(9)
    seen: set[int] = set()

    def meet() -> None:
        seen.add(threading.get_ident())
        all_there.wait(TIMEOUT_SECONDS)

    for _ in range(8):
        run(pool, meet)

    all_there.wait(TIMEOUT_SECONDS)
    assert len(seen) == 8


def test_an_idle_thread_is_used_again(pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", TIMEOUT_SECONDS)
    seen: list[int] = []

    for _ in range(5):
        run_and_wait(pool, lambda: seen.append(threading.get_ident()))

    assert len(seen) == 5
    assert len(set(seen)) == 1


def test_an_idle_thread_ends(pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.01)

    for _ in range(5):
        run(pool, bool)

    eventually(lambda: pool_threads() == [])
    assert pool._idle == []


def test_an_idle_thread_keeps_nothing_of_its_last_job(pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Payload:
        def use(self) -> None: ...

    monkeypatch.setattr(threads, "IDLE_SECONDS", TIMEOUT_SECONDS)
    payload = Payload()
    kept = weakref.ref(payload)
    run_and_wait(pool, Payload.use, payload)

    del payload

    eventually(lambda: kept() is None)
    assert len(pool_threads()) == 1


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_job_that_raises_does_not_kill_its_thread(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", TIMEOUT_SECONDS)
    seen: list[int] = []

    def fail() -> None:
        seen.append(threading.get_ident())
        raise error

    run_and_wait(pool, fail)

    run_and_wait(pool, lambda: seen.append(threading.get_ident()))
    assert len(seen) == 2
    assert len(set(seen)) == 1


@pytest.mark.parametrize("idle_seconds", [0.0, 1e-6, 1e-4])
def test_a_job_that_is_handed_over_as_its_thread_leaves_is_run(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch, idle_seconds: float
) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", idle_seconds)
    ran: Counter[int] = Counter()

    def count(number: int, done: threading.Event) -> None:
        ran[number] += 1
        done.set()

    for number in range(1000):
        done = threading.Event()
        run(pool, count, number, done)
        assert done.wait(TIMEOUT_SECONDS), f"job {number} was lost"

    assert ran == dict.fromkeys(range(1000), 1)


def test_a_thread_that_was_handed_a_job_after_its_patience_ended_runs_it(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.01)
    seen: list[int] = []
    leave = pool.leave

    def leave_late(worker: threads._Worker) -> bool:
        if len(seen) == 1:
            # Between the end of the thread's patience and its leaving.
            pool.run(lambda: seen.append(threading.get_ident()))
        return leave(worker)

    monkeypatch.setattr(pool, "leave", leave_late)

    pool.run(lambda: seen.append(threading.get_ident()))

    eventually(lambda: len(seen) == 2)
    assert len(set(seen)) == 1


def test_closing_lets_idle_threads_go_at_once_and_others_after_their_job(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 10 * TIMEOUT_SECONDS)
    gate = threading.Event()
    run(pool, gate.wait, TIMEOUT_SECONDS)
    run_and_wait(pool, bool)

    pool.close()

    eventually(lambda: len(pool_threads()) == 1)
    gate.set()
    eventually(lambda: pool_threads() == [])
