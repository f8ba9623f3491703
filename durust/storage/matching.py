"""Which rows of the memory provider a filter means."""

from __future__ import annotations

from durust.model.attributes import contains
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import DELAYED, ENQUEUED, PENDING
from durust.storage.memory_tables import is_in

# The fields of a filter that take texts, beside those of a row that they are about.
_COMPARED = (
    ("workflow_ids", "workflow_id"),
    ("names", "name"),
    ("statuses", "status"),
    ("queues", "queue"),
    ("executor_ids", "executor_id"),
    ("app_names", "app_name"),
    ("app_versions", "app_version"),
    ("authenticated_users", "authenticated_user"),
    ("parent_ids", "parent_id"),
    ("forked_from", "forked_from"),
    ("dedup_ids", "dedup_id"),
    ("schedule_names", "schedule_name"),
    ("partition_keys", "partition_key"),
)
_TIMES = {
    "created": "created_at_ms",
    "started": "started_at_ms",
    "completed": "completed_at_ms",
    "deadline": "deadline_ms",
}
# What has not ended.
_ALIVE = frozenset({DELAYED, ENQUEUED, PENDING})


def matches(row: WorkflowRow, query: ListFilter) -> bool:
    """Tell whether every field of *query* that is set fits the row. Who is stranded another table tells."""
    return (
        all(
            (accepted := getattr(query, field)) is None or getattr(row, column) in accepted
            for field, column in _COMPARED
        )
        and (query.priority_texts is None or str(row.priority) in query.priority_texts)
        and (query.id_prefix is None or row.workflow_id.startswith(tuple(query.id_prefix)))
        and (not query.is_queued or (row.queue is not None and row.status in _ALIVE))
        and (query.scope is None or is_in(query.scope, row))
        and (query.versions_not is None or row.app_version not in {None, *query.versions_not})
        and query.has_parent in {None, row.parent_id is not None}
        and query.was_forked_from in {None, row.was_forked_from}
        and (query.attributes_text is None or contains(row.attributes, query.attributes_text))
        and all(_is_within(getattr(row, column), query.window_ms(name)) for name, column in _TIMES.items())
    )


def is_behind(row: WorkflowRow, query: ListFilter) -> bool:
    """Tell whether the row comes behind the page before."""
    place, cursor = (row.created_at_ms, row.workflow_id), query.cursor
    return cursor is None or (place < cursor if query.newest_first else place > cursor)


def _is_within(at_ms: int | None, window: tuple[int | None, int | None]) -> bool:
    begin, end = window
    if begin is None and end is None:
        return True
    return at_ms is not None and (begin is None or at_ms >= begin) and (end is None or at_ms < end)
