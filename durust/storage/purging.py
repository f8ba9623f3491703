"""One batch of a purge on Postgres: ended workflows with all that is theirs, and executors long dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.filters import PurgeRequest
from durust.model.sweeps import Purged
from durust.storage import statements
from durust.storage.columns import Params, milliseconds, numbers, scope, texts
from durust.storage.links import Call, Row
from durust.storage.portions import portion

SQL = statements.load("postgres")

Run = Callable[[Sequence[Call]], list[list[Row]]]


def purge(run: Run, request: PurgeRequest) -> Purged:
    """Purge one batch through *run*, each of whose calls is one transaction."""
    found = run([Call(SQL.find_purgeable, find_purgeable(request))])[0] if request.is_bounded else []
    is_full = len(found) == request.limit
    if request.is_dry:
        return Purged(len(found), more=is_full)
    picked = portion(found)
    calls = [Call(SQL.purge_workflows, purge_workflows(request, picked))] if picked else []
    calls += [Call(SQL.forget_lost_waits, {"limit": request.limit})]
    *gone, _, forgotten = run([*calls, Call(SQL.forget_executors, forget_executors(request))])
    workflows = sum(map(len, gone))
    # Where everything that was found is in somebody's hands there is nothing to do at once.
    is_cut = workflows > 0 and (is_full or len(picked) < len(found))
    return Purged(workflows, len(forgotten), more=is_cut or len(forgotten) == request.limit)


def find_purgeable(request: PurgeRequest) -> Params:
    """Return the parameters of a look for what a purge may remove."""
    age = request.ended_before_seconds
    return scope(request.scope) | {
        "age": None if age is None else milliseconds(age),
        "keep": request.keep_newest,
        "statuses": texts(request.statuses),
        "limit": request.limit,
    }


def purge_workflows(request: PurgeRequest, found: Sequence[Row]) -> Params:
    """Return the columns of workflows to remove, each with the end that it was found with."""
    return {
        "ids": texts(row[0] for row in found),
        "ends": numbers(row[1] for row in found),
        "statuses": texts(request.statuses),
    }


def forget_executors(request: PurgeRequest) -> Params:
    """Return the parameters of forgetting executors."""
    return {
        "app": request.scope.app_name,
        "dead_age": milliseconds(request.dead_before_seconds),
        "limit": request.limit,
    }
