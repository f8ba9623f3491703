"""Reads what is waited for from Postgres: one statement for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model import waits
from durust.model.filters import ListFilter
from durust.model.waits import STREAM_ENTRIES_MAX, Awaited, Found, Gone, StoredValue, StreamEntry, StreamTail
from durust.storage import asking, columns, rows, statements
from durust.storage.links import Call, Row

SQL = statements.load("postgres")

Run = Callable[[Sequence[Call]], list[list[Row]]]
Group = list[Awaited]
Answer = dict[Awaited, Found]


def values(run: Run, awaited: Sequence[Awaited]) -> dict[Awaited, Found]:
    """Return what there is of *awaited*."""
    groups: dict[str, list[Awaited]] = {}
    for one in awaited:
        groups.setdefault(one.kind, []).append(one)
    kinds = [(groups[kind], *_READERS[kind]) for kind in _READERS if kind in groups]
    answers = run([call(group) for group, call, _ in kinds])
    found: dict[Awaited, Found] = {}
    for (group, _, read), answer in zip(kinds, answers, strict=True):
        found |= read(group, answer)
    return found


def _ask_endings(group: list[Awaited]) -> Call:
    ids = [one.target for one in group]
    return Call(
        SQL.list_workflows, asking.list_workflows(ListFilter(workflow_ids=ids, load_output=True, limit=len(ids)))
    )


def _endings(group: list[Awaited], answer: list[Row]) -> dict[Awaited, Found]:
    return rows.endings(group, map(rows.workflow, answer))


def _ask_events(group: list[Awaited]) -> Call:
    return Call(SQL.read_events, {"ids": _targets(group), "keys": _keys(group)}, is_hot=True)


def _events(group: list[Awaited], answer: list[Row]) -> dict[Awaited, Found]:
    standing = {(row[0], row[1]): StoredValue(*row[2:]) for row in answer}
    return {one: standing[one.target, one.key] for one in group if (one.target, one.key) in standing}


def _ask_streams(group: list[Awaited]) -> Call:
    places = columns.numbers(one.at for one in group)
    params: columns.Params = {"ids": _targets(group), "keys": _keys(group), "ats": places, "limit": STREAM_ENTRIES_MAX}
    return Call(SQL.read_streams, params, is_hot=True)


def _streams(group: list[Awaited], answer: list[Row]) -> dict[Awaited, Found]:
    found: dict[Awaited, Found] = {}
    for place, one in enumerate(group, 1):
        mine = [row for row in answer if row[0] == place]
        entries = tuple(StreamEntry(*row[3:]) for row in mine if row[3] is not None)
        _, is_there, is_over, *_ = mine[0]
        if not is_there:
            found[one] = Gone()
        elif entries or is_over:
            found[one] = StreamTail(entries, is_over)
    return found


def _ask_messages(group: list[Awaited]) -> Call:
    return Call(SQL.find_messages, {"ids": _targets(group), "topics": _keys(group)}, is_hot=True)


def _messages(_: list[Awaited], answer: list[Row]) -> dict[Awaited, Found]:
    return {Awaited(waits.MESSAGE, *row): True for row in answer}


def _targets(group: list[Awaited]) -> str:
    return columns.texts(one.target for one in group)


def _keys(group: list[Awaited]) -> str:
    return columns.texts(one.key for one in group)


_READERS: dict[
    str, tuple[Callable[[list[Awaited]], Call], Callable[[list[Awaited], list[Row]], dict[Awaited, Found]]]
] = {
    waits.RESULT: (_ask_endings, _endings),
    waits.EVENT: (_ask_events, _events),
    waits.STREAM: (_ask_streams, _streams),
    waits.MESSAGE: (_ask_messages, _messages),
}
