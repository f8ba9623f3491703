"""What a reader asks for, as the parameters of SQLite's statements: a sequence travels as a JSON array."""

from __future__ import annotations

import json
from collections.abc import Sequence

from durust.model.counts import GROUPS, CountQuery, StepQuery
from durust.model.criteria import INT8_MAX
from durust.model.filters import ExecutorQuery, ListFilter, Scope
from durust.model.standing import AHEAD_MAX, StandingRequest
from durust.model.status import PENDING
from durust.storage import listing
from durust.storage.links import Param

Params = dict[str, Param]


def array(values: Sequence[str] | None) -> str | None:
    """Return *values* as a JSON array, or None when they do not restrict."""
    return None if values is None else json.dumps(list(values), ensure_ascii=False)


def ids(values: Sequence[str]) -> Params:
    """Return the ids that are asked for."""
    return {"ids": array(values)}


def scope(of: Scope) -> Params:
    """Return whose rows are meant."""
    return {"app": of.app_name, "names": array(of.names)}


def workflows(query: ListFilter) -> Params:
    """Return the parameters of a list of workflows."""
    return sources(query) | listing.conditions(query, array) | listing.page(query)


def counts(query: CountQuery) -> Params:
    """Return the parameters of a count of workflows."""
    by: Params = {f"by_{name}": name in query.by for name in GROUPS}
    return sources(query.filter) | listing.conditions(query.filter, array) | listing.groups(query) | by


def step_counts(query: StepQuery) -> Params:
    """Return the parameters of a count of steps."""
    return listing.steps(query, array)


def sources(query: ListFilter) -> Params:
    """Return from which of its indexes a list takes its rows, the narrowest first: ids, parents, or times."""
    begin, end = query.window_ms("created")
    least, most = -INT8_MAX if begin is None else begin, INT8_MAX if end is None else end
    after_ms = None if query.cursor is None else query.cursor[0]
    if after_ms is not None:
        least, most = (least, min(most, after_ms + 1)) if query.newest_first else (max(least, after_ms), most)
    has_ids, has_parents = query.workflow_ids is not None, query.parent_ids is not None
    only_pending = query.statuses is not None and set(query.statuses) == {PENDING}
    return {
        "of_parents": has_parents and not has_ids,
        "pending": only_pending and not has_ids and not has_parents,
        "of_time": not (has_ids or has_parents or only_pending),
        "least": least,
        "most": most,
    }


def executors(query: ExecutorQuery) -> Params:
    """Return the parameters of a list of executors."""
    return {
        "ids": array(query.executor_ids),
        "states": array(query.states),
        "executor_boot": query.boot_id,
        "supervisor": query.supervisor_id,
    }


def standing(request: StandingRequest) -> Params:
    """Return the parameters of the question how things stand for a workflow."""
    return {
        "id": request.workflow_id,
        "span": request.span_ms,
        "partition_span": request.partition_span_ms,
        "bound": AHEAD_MAX,
    }
