"""Claims and sweeps on SQLite, each inside one transaction."""

from __future__ import annotations

import json

from durust.model.filters import ClaimRequest, Scope, SweepRequest
from durust.model.records import Claimed, Swept
from durust.model.writes import INTERNAL_QUEUE, Released
from durust.storage import rows
from durust.storage.links import Param, Row
from durust.storage.sqlite_batch import SQL, Transaction, retire

# One reap is one transaction, which keeps every other writer waiting.
REAP_LIMIT = 64
LAPSED = "its lease lapsed"


def claim_params(request: ClaimRequest) -> dict[str, Param]:
    """Return what a claim asks for, over all its queues."""
    known = list(zip(request.scope.names, request.versions, strict=True))
    queues = [want.name for want in request.queues]
    return {
        "executor": request.executor_id,
        "app": request.scope.app_name,
        "known": json.dumps(known, ensure_ascii=False),
        "queues": json.dumps(queues, ensure_ascii=False),
    }


def claim(transaction: Transaction, request: ClaimRequest) -> list[Claimed]:
    """Claim for *request*, queue by queue, without histories."""
    params = claim_params(request)
    found: list[Row] = []
    for want in request.queues:
        most = min(want.limit, request.limit - len(found))
        if most > 0:
            taken = transaction.rows(SQL.claim_workflows, params | {"queue": want.name, "limit": most})
            # What an update returns comes in no order; the first three columns say which one was asked for.
            found += sorted(taken, key=lambda row: row[:3])
    return [rows.claimed(row[2:]) for row in found]


def sweep(transaction: Transaction, request: SweepRequest) -> Swept:
    """Sweep once."""
    scope = scope_params(request.scope) | {"limit": request.limit, "internal": INTERNAL_QUEUE}
    due = transaction.rows(SQL.queue_due, scope)
    for workflow_id, _ in due:
        transaction.change(SQL.forget_waits, {"id": workflow_id})
    reap_limit = min(request.limit, REAP_LIMIT)
    reaped: tuple[str, ...] = ()
    released = Released((), frozenset())
    if request.reap:
        lapsed = transaction.rows(SQL.find_lapsed, {"supervisor": request.supervisor_id, "limit": reap_limit})
        reaped = tuple(row[0] for row in lapsed)
        released = retire(transaction, reaped, LAPSED)
    orphans = transaction.rows(SQL.release_orphans, scope)
    next_due = transaction.rows(SQL.next_due, scope)
    return Swept(
        due=len(due),
        reaped=reaped,
        released=len(released.workflow_ids),
        orphans=len(orphans),
        queues=released.queues | {row[1] for row in (*due, *orphans)},
        next_due_seconds=max(0.0, next_due[0][0]) if next_due else None,
        more=len(reaped) == reap_limit or request.limit in {len(due), len(orphans)},
    )


def scope_params(scope: Scope) -> dict[str, Param]:
    """Return whose rows are meant."""
    return {"app": scope.app_name, "names": json.dumps(scope.names, ensure_ascii=False)}
