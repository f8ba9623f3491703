"""Which process this is, and whether another one of this host still lives."""

from __future__ import annotations

import os
import platform

import psutil

from durust import clock
from durust.model.records import ExecutorRow
from durust.model.writes import RegisterExecutor
from durust.settings import Settings

# Start times are told in clock ticks of 10 ms; two processes of one pid are never that close together.
START_TOLERANCE_SECONDS = 0.05
# Nobody sets a clock twice in the microseconds that one reading takes.
READS_MAX = 10


def registration(executor_id: str, supervisor_id: str, settings: Settings, app_version: str | None) -> RegisterExecutor:
    """Return the entry of this process as an executor."""
    return RegisterExecutor(
        executor_id=executor_id,
        supervisor_id=supervisor_id,
        host=platform.node(),
        boot_id=clock.boot_id(),
        pid_ns=clock.pid_namespace(),
        pid=os.getpid(),
        pid_started=_process(os.getpid())[1],
        app_name=settings.app_name,
        app_version=app_version,
        ttl_seconds=settings.lease_seconds,
    )


def is_surely_gone(executor: ExecutorRow) -> bool:
    """Tell whether the executor's process has ended.

    False for one of another boot or pid namespace, whose pids mean nothing here: its lease decides.
    """
    if not executor.boot_id or executor.boot_id != clock.boot_id() or executor.pid_ns != clock.pid_namespace():
        return False
    try:
        process, started = _process(executor.pid)
        return process.status() == psutil.STATUS_ZOMBIE or abs(started - executor.pid_started) > START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _process(pid: int) -> tuple[psutil.Process, float]:
    """Return a process and when it started, in seconds since boot: calendar time moves when the host's clock is set."""
    for _ in range(READS_MAX):
        # psutil adds the boot time, which moves with the clock, so it has to be the same before and after.
        booted = psutil.boot_time()
        process = psutil.Process(pid)
        started = process.create_time() - booted
        if psutil.boot_time() == booted:
            return process, started
    raise psutil.AccessDenied(pid, msg="the host's clock does not hold still")
