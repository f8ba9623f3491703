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


def registration(executor_id: str, supervisor_id: str, settings: Settings, app_version: str | None) -> RegisterExecutor:
    """Return the entry of this process as an executor."""
    return RegisterExecutor(
        executor_id=executor_id,
        supervisor_id=supervisor_id,
        host=platform.node(),
        boot_id=clock.boot_id(),
        pid_ns=clock.pid_namespace(),
        pid=os.getpid(),
        pid_started=_started(psutil.Process()),
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
        process = psutil.Process(executor.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_started(process) - executor.pid_started) > START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _started(process: psutil.Process) -> float:
    """Return when a process started, in seconds since boot: calendar time would move when the host's clock is set."""
    return process.create_time() - psutil.boot_time()
