"""Threads for sync bodies: as many as run at once, gone when they are idle."""

from __future__ import annotations

import threading
from collections.abc import Callable

from durust.telemetry import emit

# Long enough that a busy queue reuses its threads, short enough that a burst leaves none behind.
IDLE_SECONDS = 1.0


def done_within(seconds: float, work: Callable[[], None], name: str) -> bool:
    """Do *work* in a thread and wait for its end at most so long; False when it goes on behind the caller's back.

    Raises what *work* raises in that time.
    """
    errors: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  carried over to the caller, who raises it
            errors.append(error)

    thread = threading.Thread(target=do, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()


class _Worker:
    """One thread that runs jobs until it has been idle for a while."""

    def __init__(self, pool: ThreadPool, number: int) -> None:
        self._pool = pool
        self._handed = threading.Semaphore(0)
        self._job: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._work, name=f"durust-run-{number}", daemon=True)

    def start(self, job: Callable[[], None]) -> None:
        self._job = job
        self._thread.start()

    def hand(self, job: Callable[[], None]) -> None:
        self._job = job
        self._handed.release()

    def dismiss(self) -> None:
        self._handed.release()

    def _work(self) -> None:
        while (job := self._job) is not None:
            self._job = None
            try:
                job()
            except BaseException as error:  # noqa: BLE001  a job reports its own end; nothing may kill the thread
                emit("service_failed", service="thread pool", error=repr(error))
            del job
            if not self._pool.rest(self):
                return
            if not self._handed.acquire(timeout=IDLE_SECONDS):
                if self._pool.leave(self):
                    return
                # A job was handed over, or the worker dismissed, between the timeout and the leaving.
                self._handed.acquire()


class ThreadPool:
    """Runs each job in a thread of its own at once; the caller bounds how many there are."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._idle: list[_Worker] = []
        self._made = 0
        self._is_closed = False

    def run(self, job: Callable[[], None]) -> None:
        """Start *job* in an idle thread, the one that rested last, or in a new one."""
        with self._mutex:
            if self._idle:
                worker = self._idle.pop()
                fresh = False
            else:
                self._made += 1
                worker, fresh = _Worker(self, self._made), True
        if fresh:
            worker.start(job)
        else:
            worker.hand(job)

    def close(self) -> None:
        """Let the idle threads go, and each other one when its job ends."""
        with self._mutex:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.dismiss()

    def rest(self, worker: _Worker) -> bool:
        """Take a thread that has nothing to do; False when it may go."""
        with self._mutex:
            if not self._is_closed:
                self._idle.append(worker)
            return not self._is_closed

    def leave(self, worker: _Worker) -> bool:
        """Let an idle thread go; False when a job has been handed to it, or it was dismissed, meanwhile."""
        with self._mutex:
            if worker in self._idle:
                self._idle.remove(worker)
                return True
        return False
