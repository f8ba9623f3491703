"""What parked runs wait for in memory: whether it is there, and whom it wakes when it comes."""

from __future__ import annotations

from collections.abc import Sequence

from durust.model import waits
from durust.model.filters import Scope
from durust.model.waits import STREAM_ENTRIES_MAX, Awaited, Found, Gone, StreamTail, Wake, ending_of
from durust.model.writes import INTERNAL_QUEUE, Wait
from durust.storage.memory_tables import Tables, is_in


def found(tables: Tables, awaited: Awaited) -> Found | None:
    """Return what there is of something that is waited for; None while there is nothing."""
    target = tables.workflows.get(awaited.target)
    match awaited.kind:
        case waits.MESSAGE:
            wanted = awaited.target, awaited.key, None
            messages = tables.messages.values()
            return any((one.destination, one.topic, one.consumed_by) == wanted for one in messages) or None
        case waits.EVENT:
            return tables.events.get(awaited.target, {}).get(awaited.key)
        case waits.RESULT if target is None:
            return Gone()
        case waits.RESULT if target is not None and target.status.is_terminal:
            return ending_of(target)
        case waits.STREAM if target is None:
            return Gone()
        case waits.STREAM if target is not None:
            entries = tables.streams.get(awaited.target, {}).get(awaited.key, [])[awaited.at :][:STREAM_ENTRIES_MAX]
            is_over = target.status.is_terminal
            return StreamTail(tuple(entries), is_over) if entries or is_over else None
    return None


def has_arrived(tables: Tables, wait: Wait) -> bool:
    """Tell whether something that a parked run waits for is there."""
    return found(tables, Awaited(wait.kind, wait.target, wait.key, wait.at)) is not None


def arrived(tables: Tables, scope: Scope) -> list[str]:
    """Return the parked runs for whom something is there."""
    return [
        key
        for key, waiting in sorted(tables.waits.items())
        if is_in(scope, tables.workflows[key]) and any(has_arrived(tables, wait) for wait in waiting)
    ]


def wake_all(tables: Tables, wakes: Sequence[Wake]) -> frozenset[str]:
    """Queue whoever is parked for one of *wakes*; return the queues."""
    woken = [
        key
        for key, waiting in tables.waits.items()
        if any(
            (wait.kind, wait.target) == (one.kind, one.target) and one.key in {None, wait.key}
            for one in wakes
            for wait in waiting
        )
    ]
    return frozenset(tables.fall_due(key).queue or INTERNAL_QUEUE for key in woken)
