"""What a list asks for, as the parameters that both dialects of the statement name alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.counts import CountQuery, StepQuery
from durust.model.filters import WINDOWS, ListFilter
from durust.storage.links import Param

# The parameters that are arrays, beside the fields they come from.
_ARRAYS = {
    "ids": "workflow_ids",
    "names": "names",
    "statuses": "statuses",
    "queues": "queues",
    "executors": "executor_ids",
    "apps": "app_names",
    "versions": "app_versions",
    "versions_not": "versions_not",
    "prefixes": "id_prefix",
    "users": "authenticated_users",
    "parents": "parent_ids",
    "sources": "forked_from",
    "dedups": "dedup_ids",
    "schedules": "schedule_names",
    "partitions": "partition_keys",
}

_WINDOWS = {window: (f"{window}_from", f"{window}_before") for window in WINDOWS}


def conditions(query: ListFilter, array: Callable[[Sequence[str] | None], str | None]) -> dict[str, Param]:
    """Return which rows are meant; a filter that is not set is NULL, and *array* writes several texts as one value."""
    params: dict[str, Param] = {name: array(getattr(query, field)) for name, field in _ARRAYS.items()}
    for window, (begin, end) in _WINDOWS.items():
        params[begin], params[end] = query.window_ms(window)
    return params | {
        "priorities": array(query.priority_texts),
        "app": query.scope.app_name if query.scope else None,
        "app_workflows": array(query.scope.names if query.scope else None),
        "queued": query.is_queued,
        "stranded": query.is_stranded,
        "has_parent": query.has_parent,
        "has_forks": query.was_forked_from,
        "attributes": query.attributes_text,
    }


def page(query: ListFilter) -> dict[str, Param]:
    """Return which part of the rows that are meant, in which order, with which of their values."""
    after_ms, after_id = query.cursor or (None, None)
    return {
        "after_at": after_ms,
        "after_id": after_id,
        "newest_first": query.newest_first,
        "load_input": query.load_input,
        "load_output": query.load_output,
        "limit": query.limit,
        "offset": query.offset,
    }


def groups(query: CountQuery) -> dict[str, Param]:
    """Return into what groups the rows that are meant are counted, and which part of those is asked for."""
    return {"bucket": query.bucket_ms, "limit": query.filter.limit, "offset": query.filter.offset}


def steps(query: StepQuery, array: Callable[[Sequence[str] | None], str | None]) -> dict[str, Param]:
    """Return which steps are counted."""
    begin, end = query.completed_ms
    return {
        "completed_from": begin,
        "completed_before": end,
        "names": array(query.names),
        "app": query.scope.app_name if query.scope else None,
        "app_workflows": array(query.scope.names if query.scope else None),
        "limit": query.limit,
    }
