"""Reads what is waited for from SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model import waits
from durust.model.filters import ListFilter
from durust.model.waits import STREAM_ENTRIES_MAX, Awaited, Found, Gone, StoredValue, StreamEntry, StreamTail
from durust.storage import rows, sqlite_filters
from durust.storage.links import Param, Row
from durust.storage.sqlite_statements import SQL, Params
from durust.storage.statements import Statement

Read = Callable[[Statement, Params], list[Row]]


def values(read: Read, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
    """Return what there is of *awaited*, by statements that *read* runs."""
    found: dict[Awaited, Found] = {}
    # A stream's writer is asked for first: what it wrote before its end is found after that.
    endings = _endings(read, [one for one in awaited if one.kind in {waits.RESULT, waits.STREAM}])
    for one in awaited:
        there: Found | None
        match one.kind:
            case waits.RESULT:
                there = endings.get(one)
            case waits.STREAM:
                there = _stream(read, one, endings.get(one))
            case waits.EVENT:
                answer = read(SQL.read_events, {"id": one.target, "key": one.key})
                there = StoredValue(*answer[0]) if answer else None
            case _:
                there = True if read(SQL.find_messages, {"id": one.target, "topic": one.key}) else None
        if there is not None:
            found[one] = there
    return found


def _endings(read: Read, group: list[Awaited]) -> dict[Awaited, Found]:
    ids = list(dict.fromkeys(one.target for one in group))
    if not ids:
        return {}
    query = ListFilter(workflow_ids=ids, load_output=True, limit=len(ids))
    return rows.endings(group, map(rows.workflow, read(SQL.list_workflows, sqlite_filters.workflows(query))))


def _stream(read: Read, one: Awaited, ending: Found | None) -> Found | None:
    if isinstance(ending, Gone):
        return ending
    params: dict[str, Param] = {"id": one.target, "key": one.key, "at": one.at, "limit": STREAM_ENTRIES_MAX}
    entries = tuple(StreamEntry(*row) for row in read(SQL.read_streams, params))
    return StreamTail(entries, ending is not None) if entries or ending is not None else None
