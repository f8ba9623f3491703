"""Bare SQL on Postgres: arrays taken apart by `unnest`, or `COPY`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from benching.bare import Manner, batches
from durust import clock

# Literals stand for names, tokens and times, and are as long as those.
ENQUEUE = """
with started as (
    insert into dbos.workflow_status (workflow_uuid, status, name, queue_name, application_name, serialization,
                                      created_at, updated_at)
    values (%s, 'ENQUEUED', 'bare', 'bare', 'durust', 'portable_json', 1800000000000, 1800000000000)
)
insert into dbos.workflow_input (workflow_uuid, inputs) values (%s, '[1]')
"""
CLAIM = """
update dbos.workflow_status
   set status = 'PENDING', executor_id = 'du:00000000000000000000000000', recovery_attempts = 1,
       owner_xid = '0000000000000000-00000000000000000000000000000000',
       started_at_epoch_ms = 1800000000000, updated_at = 1800000000000
 where workflow_uuid = any(%s::text[])
"""
RECORD = """
insert into dbos.operation_outputs (workflow_uuid, function_id, function_name, output, serialization,
                                    started_at_epoch_ms, completed_at_epoch_ms, application_name, durust_claim)
select i.id, i.place, 'nothing', i.place::text, 'portable_json', 1800000000000, 1800000000000, 'durust',
       '0000000000000000-00000000000000000000000000000000'
  from unnest(%s::text[], %s::integer[]) as i(id, place)
"""
COPY = """
copy dbos.operation_outputs (workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms,
                             completed_at_epoch_ms, application_name, durust_claim) from stdin
"""
COPIED = "\tportable_json\t1800000000000\t1800000000000\tdurust\t0000000000000000-00000000000000000000000000000000\n"
FINISH = """
with ended as (
    update dbos.workflow_status set status = 'SUCCESS', completed_at = 1800000000000, updated_at = 1800000000000
     where workflow_uuid = any(%s::text[])
    returning workflow_uuid
)
insert into dbos.workflow_output (workflow_uuid, output) select workflow_uuid, '10' from ended
"""


class BarePostgres:
    """Writes through one connection, with every statement prepared."""

    manners = tuple(Manner(method, batch) for method in ("unnest", "COPY") for batch in (50, 200, 1000))

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)

    def run(self, workflow_ids: Sequence[str], steps: int, manner: Manner) -> float:
        # What Python does to the values is no work of the database's: it is done before.
        prepared = [_written(batch, steps, manner.method) for batch in batches(workflow_ids, manner.batch)]
        cursor = self._connection.cursor()
        started = clock.perf()
        for ids, recorded in prepared:
            with self._connection.transaction():
                cursor.execute(CLAIM, [ids])
                if isinstance(recorded, bytes):
                    with cursor.copy(COPY) as copy:
                        copy.write(recorded)
                else:
                    cursor.execute(RECORD, recorded)
                cursor.execute(FINISH, [ids])
        return clock.perf() - started

    def record_one_by_one(self, workflow_id: str, steps: int) -> float:
        cursor = self._connection.cursor()
        rows = [_written([workflow_id], 1, "unnest", place)[1] for place in range(1, steps + 1)]
        started = clock.perf()
        for row in rows:
            cursor.execute(RECORD, row)
        return clock.perf() - started

    def round_trip(self, workflow_id: str) -> float:
        cursor = self._connection.cursor()
        ids, recorded = _written([workflow_id], 1, "unnest")
        started = clock.perf()
        cursor.execute(ENQUEUE, [workflow_id, workflow_id])
        cursor.execute(CLAIM, [ids])
        cursor.execute(RECORD, recorded)
        cursor.execute(FINISH, [ids])
        return clock.perf() - started

    def close(self) -> None:
        self._connection.close()


def _written(ids: Sequence[str], steps: int, method: str, first: int = 1) -> tuple[str, bytes | list[str]]:
    """Return the ids and the step rows of a batch as Postgres reads them."""
    rows = [(workflow_id, place) for workflow_id in ids for place in range(first, first + steps)]
    written = _array(ids)
    if method == "COPY":
        return written, "".join(
            f"{workflow_id}\t{place}\tnothing\t{place}{COPIED}" for workflow_id, place in rows
        ).encode()
    return written, [_array([workflow_id for workflow_id, _ in rows]), _array([place for _, place in rows])]


def _array(values: Sequence[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"
