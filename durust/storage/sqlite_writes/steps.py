"""Steps and sleeps on SQLite, each recorded at its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

from durust.model.writes import HistoryLost, Outcome, Recorded, RecordSleep, RecordStep
from durust.storage.links import Param, Row
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, guard

_PARAMETER = re.compile(r"(?<![\w':]):([a-z_]+)")
# Where a step's columns stand in its write. Steps alone are many enough to go through `executemany` by position: in
# batches of 256 that takes 0.6 of the processor time that a call for each takes; json_each is no faster than calls.
_STEP = {
    "id": "lease.workflow_id",
    "executor": "lease.executor_id",
    "token": "lease.token",
    "after": "after",
    "place": "place",
    "name": "name",
    "output": "output",
    "error": "error",
    "format": "serialization",
    "started": "started_at_ms",
    "completed": "completed_at_ms",
}


def record_steps(transaction: Transaction, writes: list[RecordStep]) -> list[Outcome]:
    """Record how steps ended, all of a batch by one call."""
    sql, values = _nameless(SQL.record_steps.sql)
    recorded = transaction.change_many(SQL.record_steps, sql, [values(write) for write in writes])
    if recorded == len(writes):
        return [Recorded()] * len(writes)
    # Which of them did not count is told by what stands now.
    return [explain(transaction, write) or Recorded() for write in writes]


def record_alone(transaction: Transaction, write: RecordStep) -> Outcome | None:
    """Write one step; return None when it was written by this, and otherwise what stands in its way."""
    sql, values = _nameless(SQL.record_steps.sql)
    if transaction.change_many(SQL.record_steps, sql, [values(write)]):
        return None
    return explain(transaction, write) or HistoryLost()


@cache
def _nameless(sql: str) -> tuple[str, Callable[[Any], Row]]:
    """Return *sql* with nameless parameters, and what takes their values out of a `RecordStep`.

    Not with numbered ones: Python 3.12 warns of those until its fourth release.
    """
    names = _PARAMETER.findall(sql)
    return _PARAMETER.sub("?", sql), attrgetter(*(_STEP[name] for name in names))


def record_sleep(transaction: Transaction, write: RecordSleep) -> Outcome:
    """Record the instant at which a sleep ends."""
    params: dict[str, Param] = {
        "place": write.place,
        "name": write.name,
        "lasting": round(write.seconds * 1000),
        "floor": write.not_before_ms,
    }
    transaction.change(SQL.record_sleeps, guard(write) | params)
    # The instant is the database's, also for a write that was made before.
    return explain(transaction, write) or Recorded()


KINDS: Kinds = {
    RecordSleep: record_sleep,
}
