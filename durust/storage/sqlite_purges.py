"""One batch of a purge on SQLite: ended workflows with all that is theirs, and executors long dead."""

from __future__ import annotations

import json
from collections.abc import Sequence

from durust.model.filters import PurgeRequest
from durust.model.sweeps import Purged
from durust.storage.links import Param, Row
from durust.storage.portions import portion
from durust.storage.sqlite_filters import scope
from durust.storage.sqlite_statements import SQL, Transaction
from durust.storage.sqlite_writes.orders import PARTS


def params(request: PurgeRequest) -> dict[str, Param]:
    """Return what a purge asks for."""
    age = request.ended_before_seconds
    return scope(request.scope) | {
        "age": None if age is None else round(age * 1000),
        "keep": request.keep_newest,
        "statuses": json.dumps(request.statuses),
        "dead_age": round(request.dead_before_seconds * 1000),
        "limit": request.limit,
    }


def purge(transaction: Transaction, request: PurgeRequest, found: Sequence[Row]) -> Purged:
    """Remove those of *found* that have still ended, as many as one transaction takes."""
    asked = params(request)
    picked = portion(found)
    judged = transaction.rows(SQL.pick_purgeable, asked | {"found": json.dumps(picked, ensure_ascii=False)})
    ids = json.dumps([row[0] for row in judged], ensure_ascii=False)
    for part in PARTS if judged else ():
        transaction.change(part, {"ids": ids})
    transaction.change(SQL.forget_lost_waits, asked)
    transaction.change(SQL.forget_leases, asked)
    forgotten = transaction.rows(SQL.forget_executors, asked)
    is_cut = bool(judged) and (len(found) == request.limit or len(picked) < len(found))
    return Purged(len(judged), len(forgotten), more=is_cut or len(forgotten) == request.limit)
