"""Steps and sleeps of runs on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import RecordSleep, RecordStep
from durust.storage import statements
from durust.storage.columns import Params, milliseconds, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.guards import RUNS, chained, place_of, recorded_places
from durust.storage.postgres_writes.kinds import Kind

SQL = statements.load("postgres")


def record_steps(writes: Sequence[RecordStep]) -> Params:
    """Return the columns of recorded steps."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "outputs": texts(write.output for write in writes),
        "errors": texts(write.error for write in writes),
        "formats": texts(write.serialization for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def record_sleeps(writes: Sequence[RecordSleep]) -> Params:
    """Return the columns of recorded sleeps."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "lasting": numbers(milliseconds(write.seconds) for write in writes),
        "floors": numbers(write.not_before_ms for write in writes),
    }


KINDS: Mapping[type, Kind] = {
    RecordStep: Kind(
        key=place_of,
        calls=lambda writes: [Call(SQL.record_steps, record_steps(writes), is_hot=True)],
        read=recorded_places,
        question=RUNS,
    ),
    RecordSleep: Kind(
        key=place_of,
        calls=lambda writes: [Call(SQL.record_sleeps, record_sleeps(writes), is_hot=True)],
        read=recorded_places,
        question=RUNS,
    ),
}
