"""What a reader asks for, as the parameters of SQLite's statements: a sequence travels as a JSON array."""

from __future__ import annotations

import json
from collections.abc import Sequence

from durust.model.filters import ExecutorQuery, ListFilter
from durust.model.status import PENDING
from durust.storage.links import Param

Params = dict[str, Param]


def array(values: Sequence[str] | None) -> str | None:
    """Return *values* as a JSON array, or None when they do not restrict."""
    return None if values is None else json.dumps(list(values), ensure_ascii=False)


def ids(values: Sequence[str]) -> Params:
    """Return the ids that are asked for."""
    return {"ids": array(values)}


def workflows(query: ListFilter) -> Params:
    """Return the parameters of a list of workflows."""
    return {
        "ids": array(query.workflow_ids),
        "only_pending": query.statuses is not None and set(query.statuses) == {PENDING},
        "names": array(query.names),
        "statuses": array(query.statuses),
        "queues": array(query.queues),
        "executors": array(query.executor_ids),
        "apps": array(query.app_names),
        "app": query.scope.app_name if query.scope else None,
        "app_workflows": array(query.scope.names if query.scope else None),
        "version": query.app_version,
        "versions_not": array(query.versions_not),
        "stranded": query.is_stranded,
        "prefix": query.id_prefix,
        "created_from": query.created_from_ms,
        "created_before": query.created_before_ms,
        "newest_first": query.newest_first,
        "load_input": query.load_input,
        "load_output": query.load_output,
        "limit": query.limit,
        "offset": query.offset,
    }


def executors(query: ExecutorQuery) -> Params:
    """Return the parameters of a list of executors."""
    return {
        "ids": array(query.executor_ids),
        "states": array(query.states),
        "executor_boot": query.boot_id,
        "supervisor": query.supervisor_id,
    }
