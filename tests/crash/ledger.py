"""The file that step bodies append to, and the judge who reads it; durust's own tables are no witness."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One effect."""

    step: int
    attempt: int
    pid: int
    value: str
    """Made by this very effect, so that a result says from which ones it was made."""


class Ledger:
    """What the steps did to the world, in the order in which they did it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Entry) -> None:
        """Add a line that is on the disk when this returns."""
        sink = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(sink, (" ".join(map(str, astuple(entry))) + "\n").encode())
            os.fsync(sink)
        finally:
            os.close(sink)

    def entries(self) -> list[Entry]:
        """Return what stands in the file now."""
        if not self.path.exists():
            return []
        lines = (line.split() for line in self.path.read_text().splitlines())
        return [Entry(int(step), int(attempt), int(pid), value) for step, attempt, pid, value in lines]


def faults(entries: Sequence[Entry], times: Mapping[int, int], result: Sequence[str]) -> list[str]:
    """Return what must not be, where each step was to happen so many *times* and the workflow ended with *result*."""
    found = []
    for step, expected in times.items():
        mine = [entry for entry in entries if entry.step == step]
        if len(mine) != expected:
            found.append(f"step {step} happened {len(mine)} times and not {expected}")
        if len({entry.pid for entry in mine}) != len(mine):
            found.append(f"step {step} happened twice in one process")
        if [entry.attempt for entry in mine] != sorted({entry.attempt for entry in mine}):
            found.append(f"step {step} happened in the attempts {[entry.attempt for entry in mine]}")
    order = [entry.step for entry in entries]
    if order != sorted(order):
        # A step begins only when the one before it is recorded.
        found.append(f"a recorded step happened again: {order}")
    last = {entry.step: entry.value for entry in entries}
    if list(result) != [last.get(step) for step in times]:
        found.append(f"the result {list(result)} is not that of the effects {last}")
    return found
