"""One worker process, as the operating system sees it: started, signalled, waited for.

Where the kernel offers pidfds (Linux 5.4 and newer) waiting and signals go through them, so that no signal reaches
another process that got the same pid. Elsewhere the pid is used; that is safe as long as the process was not waited
for, because its pid is not given away before that, and the end is noticed at the next tick instead of at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil

from durust.supervisor.lifeline import Lifeline, make_lifeline
from durust.supervisor.wire import Brief

# The kernel's number (since Linux 6.9) for "the process group of this pidfd"; Python has no name for it yet.
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
_STOPPED = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})


class Child:
    """A worker process in a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], lifeline: Lifeline) -> None:
        self._process = process
        self.pid = process.pid
        self.lifeline = lifeline
        self._pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
        self._seen = psutil.Process(process.pid)

    @classmethod
    def spawn(cls, brief: Brief, page_fd: int) -> Child:
        """Start a fresh interpreter that runs one worker.

        Only from the main thread: the kernel's parent-death signal fires when the spawning *thread* ends. Raises
        `OSError` when the machine has no process, memory or descriptor left for it.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a worker must be spawned by the main thread")
        lifeline, theirs = make_lifeline()
        arguments = [str(os.getpid()), str(theirs.fileno()), str(page_fd)]
        process = None
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "durust.supervisor.worker", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), page_fd),
                process_group=0,
            )
            child = cls(process, lifeline)
        except BaseException:
            lifeline.close()
            if process is not None:
                process.kill()
                process.wait()
            raise
        finally:
            theirs.close()
        try:
            lifeline.send(brief)
        except OSError:
            # It is dead already; that is found out in the same way as any other death.
            lifeline.is_over = True
        return child

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when the process ends; None where the kernel has none."""
        return self._pidfd

    def poll(self) -> int | None:
        """Return the exit code of a process that ended, the negative signal if one killed it; None while it runs."""
        return self._process.poll()

    def is_stopped(self) -> bool:
        """Tell whether a signal or a debugger has stopped the process."""
        try:
            return self._seen.status() in _STOPPED
        except psutil.Error:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process; one that has ended gets none."""
        try:
            if self._pidfd is None:
                self._process.send_signal(number)
            else:
                signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """Kill the process, and what it has started in its process group if the kernel can name that safely."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL, None, _PIDFD_SIGNAL_PROCESS_GROUP)
            except OSError:
                # An older kernel, or a group that is gone.
                self.send(signal.SIGKILL)
            return
        self.send(signal.SIGKILL)

    def close(self) -> None:
        """Wait for the process, which must have ended or been killed, and let go of its descriptors."""
        self._process.wait()
        self.lifeline.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
