"""The codes by which a worker process tells its supervisor why it ended."""

from __future__ import annotations

import signal
from enum import IntEnum


class WorkerExit(IntEnum):
    """Why a worker ended. Above 64, so that none is taken for one of Python's, a shell's or the command line's."""

    ENDED = 0
    APPLICATION = 71
    """The application does not load: another process would fail in the same way."""
    DATABASE = 72
    """The database does not answer: another process may do better later."""
    FENCED = 73
    """The executor was declared DEAD or lost its lease for good: a fresh one may start at once."""
    MEMORY = 74
    """The process ran out of memory."""
    QUEUE = 75
    """A queue that was asked for is neither declared nor stored."""
    SCHEMA = 76
    """The database holds a schema that this release cannot serve."""
    PARENT = 77
    """The supervisor is gone."""


_SENTENCES = {
    WorkerExit.ENDED: "ended",
    WorkerExit.APPLICATION: "could not load the application",
    WorkerExit.DATABASE: "could not reach the database",
    WorkerExit.FENCED: "lost its lease and stopped",
    WorkerExit.MEMORY: "ran out of memory",
    WorkerExit.QUEUE: "was asked for a queue that does not exist",
    WorkerExit.SCHEMA: "found a schema that does not fit",
    WorkerExit.PARENT: "lost its supervisor",
}


def describe(returncode: int) -> str:
    """Say how a worker ended, from its return code as `subprocess` tells it (negative: the signal that killed it)."""
    if returncode < 0:
        try:
            return f"was killed by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"was killed by signal {-returncode}"
    try:
        return _SENTENCES[WorkerExit(returncode)]
    except ValueError:
        return f"exited with code {returncode}"
