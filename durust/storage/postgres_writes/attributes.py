"""What is said of a workflow beside its history, on Postgres: its attributes, and the role that let it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import both
from durust.model.writes import AssumeRole, Missing
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.guards import RUNS, chained, id_of, leased, recorded_places, recorded_runs
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def set_attributes(writes: Sequence[SetAttributes]) -> Params:
    """Return the columns of attributes that somebody gives to workflows, those of one workflow together."""
    patches: dict[str, str] = {}
    for write in writes:
        known = patches.get(write.workflow_id)
        patches[write.workflow_id] = write.patch if known is None else both(known, write.patch)
    return {"ids": texts(patches), "patches": texts(patches.values())}


def record_attributes(writes: Sequence[RecordAttributes]) -> Params:
    """Return the columns of attributes that runs give to their workflows."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "patches": texts(write.patch for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def assume_roles(writes: Sequence[AssumeRole]) -> Params:
    """Return the columns of roles by which runs were let in."""
    return leased([write.lease for write in writes]) | {"roles": texts(write.role for write in writes)}


def _marked(found: Group, results: Results) -> Answers:
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED if write.workflow_id in came_back else Missing() for index, write in found}


KINDS: Mapping[type, Kind] = {
    SetAttributes: Kind(calls=lambda writes: [Call(SQL.set_attributes, set_attributes(writes))], read=_marked),
    RecordAttributes: Kind(
        # One row is changed once in a statement, so the next one of a run is sent again.
        key=id_of,
        calls=lambda writes: [Call(SQL.record_attributes, record_attributes(writes), is_hot=True)],
        read=recorded_places,
        question=RUNS,
    ),
    AssumeRole: Kind(
        key=id_of,
        calls=lambda writes: [Call(SQL.assume_roles, assume_roles(writes), is_hot=True)],
        read=recorded_runs,
        question=RUNS,
    ),
}
