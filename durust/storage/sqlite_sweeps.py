"""Sweeps on SQLite: what is due, late, arrived, or held by nobody who lives, inside one transaction."""

from __future__ import annotations

from durust.model.filters import SweepRequest
from durust.model.queues import GRANTS_KEPT_SECONDS
from durust.model.sweeps import Swept
from durust.model.writes import INTERNAL_QUEUE, Released
from durust.storage import sqlite_filters
from durust.storage.sqlite_statements import SQL, Transaction
from durust.storage.sqlite_writes.executors import bury
from durust.storage.sqlite_writes.waking import wake

# One reap is one transaction, which keeps every other writer waiting.
REAP_LIMIT = 64


def sweep(transaction: Transaction, request: SweepRequest) -> Swept:
    """Sweep once."""
    scope = sqlite_filters.scope(request.scope) | {"limit": request.limit, "internal": INTERNAL_QUEUE}
    late = transaction.rows(SQL.time_out_workflows, scope)
    due = transaction.rows(SQL.queue_due, scope)
    for workflow_id, *_ in (*late, *due):
        transaction.change(SQL.forget_waits, {"id": workflow_id})
    arrived = transaction.rows(SQL.find_arrived, scope)
    woken = [row for (workflow_id,) in arrived for row in wake(transaction, workflow_id)]
    reap_limit = min(request.limit, REAP_LIMIT)
    reaped: tuple[str, ...] = ()
    released = Released((), frozenset())
    if request.reap:
        lapsed = transaction.rows(SQL.find_lapsed, {"supervisor": request.supervisor_id, "limit": reap_limit})
        reaped = tuple(row[0] for row in lapsed)
        released = bury(transaction, reaped, "its lease lapsed")
    orphans = transaction.rows(SQL.release_orphans, scope)
    forgotten = transaction.change(SQL.forget_grants, {"kept": GRANTS_KEPT_SECONDS, "limit": request.limit})
    next_due = transaction.rows(SQL.next_due, scope)
    return Swept(
        due=len(due),
        reaped=reaped,
        released=len(released.workflow_ids),
        timed_out=len(late),
        arrived=len(woken),
        orphans=len(orphans),
        queues=released.queues | set(woken) | {row[1] for row in (*due, *orphans)},
        next_due_seconds=max(0.0, next_due[0][0]) if next_due else None,
        more=len(reaped) == reap_limit or request.limit in {len(due), len(late), len(arrived), len(orphans), forgotten},
    )
