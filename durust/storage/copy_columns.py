"""Lines of a copy turned into whole workflows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from durust.model.copies import EntryCopy, EventCopy, MessageCopy, WorkflowCopy, order
from durust.storage import rows
from durust.storage.links import Row


def copies(workflow_id: str, lines: Iterable[Row]) -> list[WorkflowCopy]:
    """Return whole workflows from the lines of a copy, the one of that id first and parents before their children."""
    kinds: dict[str, dict[str, list[Any]]] = {}
    for key, kind, text in lines:
        kinds.setdefault(key, {}).setdefault(kind, []).append(json.loads(text))
    made = [_copy(parts) for parts in kinds.values()]
    return sorted(made, key=lambda copy: order(workflow_id, copy))


def _copy(parts: dict[str, list[Any]]) -> WorkflowCopy:
    [row] = parts["row"]
    entries = sorted((EntryCopy(*line) for line in parts.get("entry", ())), key=lambda one: (one.key, one.offset))
    messages = sorted(parts.get("message", ()), key=lambda line: (line[0] or 0, line[5], line[1]))
    return WorkflowCopy(
        row=rows.workflow(row),
        steps=tuple(sorted(map(rows.checkpoint, parts.get("step", ())), key=lambda step: step.place)),
        events=tuple(EventCopy(*line) for line in sorted(parts.get("event", ()))),
        past_events=tuple(EventCopy(*line) for line in sorted(parts.get("past_event", ()), key=_by_place)),
        streams=tuple(entries),
        # SQLite knows no truth but numbers.
        messages=tuple(
            MessageCopy(key, topic, text, serialization, created_at_ms, bool(is_consumed), consumed_by)
            for _, key, topic, text, serialization, created_at_ms, is_consumed, consumed_by in messages
        ),
    )


def _by_place(line: list[Any]) -> tuple[int, str]:
    return line[3], line[0]
