"""A process that migrates a SQLite file when its starter says so, and then uses it."""

from __future__ import annotations

import sys
from pathlib import Path

from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import make_enqueued
from tests.support.waiting import eventually


def main(path: str, name: str, signal: str) -> None:
    """Wait for the file *signal* and migrate, together with whoever else waits for it."""
    print("ready")
    eventually(Path(signal).exists)
    provider = SqliteProvider(path)
    provider.migrate()
    make_enqueued(provider, name)
    provider.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
