"""The log of a SQLite file, copied into the database by one process at a time where the library must not do it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from durust.storage import sqlite_files
from durust.storage.links import Call, Transient
from durust.storage.sqlite_links import SqliteLink
from durust.storage.sqlite_statements import SQL

# What the library itself would let the log grow to: a thousand pages of 4 KiB.
CHECKPOINT_BYTES = 4_000_000


def copy(path: Path, connect: Callable[[], SqliteLink]) -> None:
    """Copy the log of the file at *path*, if it is long and nobody else does."""
    if sqlite_files.size(Path(f"{path}-wal")) < CHECKPOINT_BYTES:
        return
    with Path(f"{path}-checkpoint").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # With the write lock held nobody can commit, so nobody can reset the log beside the copying.
            with closing(connect()) as copier, closing(connect()) as guard, guard.transaction():
                copier.run([Call(SQL.checkpoint, {})])
        except (BlockingIOError, Transient):
            # Somebody else copies it, or holds the write lock for long: the next sweep comes soon.
            return
