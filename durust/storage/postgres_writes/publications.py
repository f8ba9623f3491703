"""Events and streams on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.publications import AppendStream, Closed, Publication, SetEvent
from durust.storage import statements
from durust.storage.columns import Params, numbers, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.guards import RUNS, chained, place_of, recorded_places
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results
from durust.storage.postgres_writes.waking import hold_buckets
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def publish(writes: Sequence[Publication]) -> Params:
    """Return the columns of events that are set, or of values that are appended to streams."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "keys": texts(write.key for write in writes),
        "texts": texts(write.text for write in writes),
        "formats": texts(write.serialization for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def _appended(found: Group, results: Results) -> Answers:
    """Answer what came back: recorded, or behind the end of its stream."""
    came_back = {(row[0], row[1]): Closed() if row[2] else RECORDED for row in results[0]}
    return {index: came_back[key] for index, write in found if (key := place_of(write)) in came_back}


KINDS: Mapping[type, Kind] = {
    SetEvent: Kind(
        key=place_of,
        calls=lambda writes: [
            Call(SQL.hold_buckets, hold_buckets(write.lease.workflow_id for write in writes), is_hot=True),
            Call(SQL.set_events, publish(writes), is_hot=True),
        ],
        read=lambda found, results: recorded_places(found, results[1:]),
        question=RUNS,
    ),
    AppendStream: Kind(
        key=place_of,
        calls=lambda writes: [Call(SQL.append_streams, publish(writes), is_hot=True)],
        read=_appended,
        question=RUNS,
    ),
}
