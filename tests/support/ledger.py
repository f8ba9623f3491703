"""A file that step bodies append to, and the judge who reads it; durust's own tables are no witness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One step body that began."""

    workflow: str
    place: int
    pid: int


class Ledger:
    """What step bodies wrote, in the order in which they began."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Return what stands in the file now."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines()
        return [Entry(name, int(place), int(pid)) for name, place, pid in map(str.split, lines)]

    def repeats(self) -> int:
        """Return how many bodies ran again."""
        counts = Counter((entry.workflow, entry.place) for entry in self.entries())
        return sum(count - 1 for count in counts.values())

    def faults(self, workflows: Iterable[str], places: int, ignored_pid: int | None = None) -> list[str]:
        """Return what must never happen: a step that never ran, or one that ran again after it was recorded.

        A body begins only when the step before it is recorded, so a smaller place after a larger one tells of a step
        that was recorded and ran again. The lines of *ignored_pid* are left out: a process that has lost its lease may
        finish the body it is in.
        """
        places_of: dict[str, list[int]] = {workflow: [] for workflow in workflows}
        for entry in self.entries():
            if entry.pid != ignored_pid:
                places_of[entry.workflow].append(entry.place)
        faults = []
        for workflow, seen in places_of.items():
            lost = set(range(places)) - set(seen)
            if lost:
                faults.append(f"{workflow} never ran {sorted(lost)}")
            if seen != sorted(seen):
                faults.append(f"{workflow} ran a recorded step again: {seen}")
        return faults
