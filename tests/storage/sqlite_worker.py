"""A process that claims and finishes workflows of one SQLite file until it has been told that no more will come.

Each claim appends the workflow's id to a ledger, which is what judges: durust's own tables are no witness.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from durust.model.writes import Recorded
from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import commit, finish, record_step, register, want

# Small, so that the processes meet often.
CLAIM_MAX = 3


def main(path: str, name: str, ledger: str) -> None:
    """Work until a claim finds nothing."""
    provider = SqliteProvider(path)
    commit(provider, register(name))
    with closing(provider.writer()) as writer, Path(ledger).open("a") as sink:
        while claims := provider.claim(want(name, limit=CLAIM_MAX)):
            for claimed in claims:
                sink.write(f"{claimed.lease.workflow_id} {name}\n")
                sink.flush()
                os.fsync(sink.fileno())
                [step] = writer.commit([record_step(claimed)])
                [end] = writer.commit([finish(claimed, after=1)])
                assert (step, end) == (Recorded(), Recorded())
    provider.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
