"""One sweep on Postgres: what is due, whose lease has lapsed, what nobody holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.filters import SweepRequest
from durust.model.queues import GRANTS_KEPT_SECONDS
from durust.model.sweeps import Swept
from durust.model.writes import INTERNAL_QUEUE
from durust.storage import columns, statements
from durust.storage.columns import Params
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.executors import release_workflows, retire_executors

SQL = statements.load("postgres")

# One reap is one transaction, so its size is bounded; a lost host has fewer executors.
REAP_LIMIT = 64
LAPSED = "its lease lapsed"

Run = Callable[[Sequence[Call]], list[list[Row]]]


def sweep(run: Run, request: SweepRequest) -> Swept:
    """Sweep once through *run*, each of whose calls is one transaction."""
    params = bounds(request)
    [late] = run([Call(SQL.time_out_workflows, params)])
    [due] = run([Call(SQL.queue_due, params)])
    [arrived] = run([Call(SQL.queue_arrived, params)])
    reaped, released, reap_is_full = _reap(run, request) if request.reap else ((), [], False)
    [orphans] = run([Call(SQL.release_orphans, params)])
    [forgotten] = run([Call(SQL.forget_grants, params)])
    [next_due] = run([Call(SQL.next_due, columns.scope(request.scope))])
    return Swept(
        due=len(due),
        reaped=reaped,
        released=len(released),
        timed_out=len(late),
        arrived=len(arrived),
        orphans=len(orphans),
        queues=frozenset(row[-1] for row in (*due, *arrived, *released, *orphans)),
        next_due_seconds=max(0.0, next_due[0][0]) if next_due else None,
        more=reap_is_full or request.limit in {len(due), len(late), len(arrived), len(orphans), len(forgotten)},
    )


def _reap(run: Run, request: SweepRequest) -> tuple[tuple[str, ...], list[Row], bool]:
    limit = min(request.limit, REAP_LIMIT)
    [lapsed] = run([Call(SQL.find_lapsed, {"supervisor": request.supervisor_id, "limit": limit})])
    if not lapsed:
        return (), [], False
    ids = [row[0] for row in lapsed]
    marked, released = run(
        [
            Call(SQL.reap_executors, retire_executors(ids, LAPSED)),
            Call(SQL.release_workflows, release_workflows(ids)),
        ]
    )
    return tuple(row[0] for row in marked), released, len(ids) == limit


def bounds(request: SweepRequest) -> Params:
    """Return the parameters of a sweep's statements."""
    return columns.scope(request.scope) | {
        "limit": request.limit,
        "internal": INTERNAL_QUEUE,
        "kept": GRANTS_KEPT_SECONDS,
    }
