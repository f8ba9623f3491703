"""Bare SQL on SQLite: `executemany` in one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from benching.bare import Manner, batches
from durust import clock

# What durust itself waits for a lock.
BUSY_SECONDS = 10.0

# Literals stand for names, tokens and times, and are as long as those.
ENQUEUE = """
insert into workflow_status (workflow_uuid, status, name, queue_name, application_name, serialization, created_at,
                             updated_at)
values (?, 'ENQUEUED', 'bare', 'bare', 'durust', 'portable_json', 1800000000000, 1800000000000)
"""
ENTER = "insert into workflow_input (workflow_uuid, inputs, retention_timestamp) values (?, '[1]', 1800000000000)"
CLAIM = """
update workflow_status
   set status = 'PENDING', executor_id = 'du:00000000000000000000000000', recovery_attempts = 1,
       owner_xid = '0000000000000000-00000000000000000000000000000000',
       started_at_epoch_ms = 1800000000000, updated_at = 1800000000000
 where workflow_uuid = ?
"""
RECORD = """
insert into operation_outputs (workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms,
                               completed_at_epoch_ms, application_name, durust_claim, retention_timestamp)
values (?, ?, 'nothing', '1', 'portable_json', 1800000000000, 1800000000000, 'durust',
        '0000000000000000-00000000000000000000000000000000', 1800000000000)
"""
FINISH = """
update workflow_status set status = 'SUCCESS', completed_at = 1800000000000, updated_at = 1800000000000
 where workflow_uuid = ?
"""
STORE = "insert into workflow_output (workflow_uuid, output, retention_timestamp) values (?, '10', 1800000000000)"


class BareSqlite:
    """Writes through one connection, with the durability that durust has."""

    manners = tuple(Manner("executemany", batch) for batch in (50, 200, 1000))

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        self._connection.execute("pragma synchronous = full")

    def run(self, workflow_ids: Sequence[str], steps: int, manner: Manner) -> float:
        prepared = [
            (
                [(workflow_id,) for workflow_id in batch],
                [(workflow_id, place) for workflow_id in batch for place in range(1, steps + 1)],
            )
            for batch in batches(workflow_ids, manner.batch)
        ]
        execute, many = self._connection.execute, self._connection.executemany
        started = clock.perf()
        for ids, rows in prepared:
            execute("begin immediate")
            many(CLAIM, ids)
            many(RECORD, rows)
            many(FINISH, ids)
            many(STORE, ids)
            execute("commit")
        return clock.perf() - started

    def record_one_by_one(self, workflow_id: str, steps: int) -> float:
        execute = self._connection.execute
        started = clock.perf()
        for place in range(1, steps + 1):
            execute(RECORD, (workflow_id, place))
        return clock.perf() - started

    def round_trip(self, workflow_id: str) -> float:
        started = clock.perf()
        for statements in ((ENQUEUE, ENTER), (CLAIM,), (), (FINISH, STORE)):
            self._connection.execute("begin immediate")
            for statement in statements:
                self._connection.execute(statement, (workflow_id,))
            if not statements:
                self._connection.execute(RECORD, (workflow_id, 1))
            self._connection.execute("commit")
        return clock.perf() - started

    def close(self) -> None:
        self._connection.close()
