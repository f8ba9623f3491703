"""How much of what a purge found goes in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from durust.storage.links import Row

# Ten thousand records are deleted in well under a second, also beside others; a workflow that has more goes alone.
STEPS_IN_BATCH_MAX = 10_000


def portion(found: Sequence[Row]) -> Sequence[Row]:
    """Return the first of *found*, whose last column counts records, that together have few enough."""
    steps = 0
    for index, row in enumerate(found):
        steps += row[-1]
        if index and steps > STEPS_IN_BATCH_MAX:
            return found[:index]
    return found
