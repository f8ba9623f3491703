"""Runs that park on Postgres until what they wait for is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.waits import SLEEP
from durust.model.writes import INTERNAL_QUEUE, ParkWorkflow
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.endings import and_end_grants
from durust.storage.postgres_writes.guards import RUNS, chained, id_of, recorded_runs
from durust.storage.postgres_writes.kinds import Kind
from durust.storage.postgres_writes.waking import PLACES_BUCKETS, PLACES_LOCK

SQL = statements.load("postgres")


def park_workflows(writes: Sequence[ParkWorkflow]) -> Params:
    """Return the columns of parked runs and of what they wait for."""
    waits = [(write.lease.workflow_id, wait) for write in writes for wait in write.waits]
    return chained(writes) | {
        "untils": numbers(write.until_ms for write in writes),
        "wait_ids": texts(workflow_id for workflow_id, _ in waits),
        "wait_places": numbers(wait.place for _, wait in waits),
        "wait_kinds": texts(wait.kind for _, wait in waits),
        "wait_targets": texts(wait.target for _, wait in waits),
        "wait_keys": texts(wait.key for _, wait in waits),
        "wait_ats": numbers(wait.at for _, wait in waits),
        "wait_untils": numbers(wait.until_ms for _, wait in waits),
        "internal": INTERNAL_QUEUE,
    }


def hold_awaited(writes: Sequence[ParkWorkflow]) -> Params:
    """Return what parked runs wait for."""
    waits = [wait for write in writes for wait in write.waits]
    return {
        "wait_kinds": texts(wait.kind for wait in waits),
        "wait_targets": texts(wait.target for wait in waits),
        "lock": PLACES_LOCK,
        "buckets": PLACES_BUCKETS,
    }


def wake_parked(writes: Sequence[ParkWorkflow]) -> Params:
    """Return the ids of parked runs."""
    return {"ids": texts(write.lease.workflow_id for write in writes)}


KINDS: Mapping[type, Kind] = {
    ParkWorkflow: Kind(
        key=id_of,
        calls=lambda writes: and_end_grants(
            [
                Call(SQL.park_workflows, park_workflows(writes), is_hot=True),
                # A sleep is waited for alone, and its instant is there already.
                *(
                    [Call(SQL.hold_awaited, hold_awaited(writes), is_hot=True)]
                    if any(wait.kind != SLEEP for write in writes for wait in write.waits)
                    else []
                ),
                Call(SQL.wake_parked, wake_parked(writes), is_hot=True),
            ],
            writes,
        ),
        read=recorded_runs,
        question=RUNS,
    )
}
