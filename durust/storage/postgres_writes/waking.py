"""What wakes parked runs on Postgres when that comes for which they wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durust.model.waits import Wake
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.columns import Params, texts

# The advisory locks of places in which no workflow stands yet: their class, a number that nothing else uses, and how
# many there are. With many buckets two workflows seldom share one; a batch never takes more locks than this.
PLACES_LOCK = 0x64757275
PLACES_BUCKETS = 64


def hold_buckets(workflow_ids: Iterable[str]) -> Params:
    """Return the workflows of which events are about to be written."""
    return {"ids": texts(workflow_ids), "lock": PLACES_LOCK, "buckets": PLACES_BUCKETS}


def wake_waiters(wakes: Sequence[Wake]) -> Params:
    """Return the columns of what has arrived."""
    return {
        "kinds": texts(wake.kind for wake in wakes),
        "targets": texts(wake.target for wake in wakes),
        "keys": texts(wake.key for wake in wakes),
        "internal": INTERNAL_QUEUE,
    }
