"""One batch of a purge on Postgres: ended workflows with all that is theirs, and executors long dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.filters import PurgeRequest
from durust.model.records import Purged
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.links import Call, Row
from durust.storage.portions import portion

Run = Callable[[Sequence[Call]], list[list[Row]]]


def purge(run: Run, request: PurgeRequest) -> Purged:
    """Purge one batch through *run*, each of whose calls is one transaction."""
    found = run([Call(SQL.find_purgeable, columns.find_purgeable(request))])[0] if request.is_bounded else []
    is_full = len(found) == request.limit
    if request.is_dry:
        return Purged(len(found), more=is_full)
    picked = portion(found)
    calls = [Call(SQL.purge_workflows, columns.purge_workflows(request, picked))] if picked else []
    *gone, forgotten = run([*calls, Call(SQL.forget_executors, columns.forget_executors(request))])
    workflows = sum(map(len, gone))
    # Where everything that was found is in somebody's hands there is nothing to do at once.
    is_cut = workflows > 0 and (is_full or len(picked) < len(found))
    return Purged(workflows, len(forgotten), more=is_cut or len(forgotten) == request.limit)
