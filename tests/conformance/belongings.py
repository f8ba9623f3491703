"""A door behind the seam to what belongs to a workflow: left there, and looked at, as another library would."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg

from durust.model.waits import NULL_TOPIC, StoredValue, StreamEntry
from durust.storage.memory import InMemoryProvider
from durust.storage.memory_tables import Message
from durust.storage.provider import StateProvider

FORMAT = "portable_json"


class Belongings:
    """The events, streams, messages and children of workflows."""

    def __init__(self, url: str, provider: StateProvider) -> None:
        self._url = url
        self._tables = provider._tables if isinstance(provider, InMemoryProvider) else None

    def event(self, workflow: str, place: int, key: str, text: str, *, serialization: str = FORMAT) -> None:
        """Set an event at a place."""
        if self._tables is not None:
            value = StoredValue(text, serialization)
            self._tables.event_history.setdefault(workflow, {})[place, key] = value
            self._tables.events.setdefault(workflow, {})[key] = value
            return
        values = {"id": workflow, "place": place, "key": key, "text": text, "format": serialization}
        self._run("insert into {}workflow_events_history values (:id, :place, :key, :text, :format)", values)
        self._run(
            "insert into {}workflow_events values (:id, :key, :text, :format) on conflict (workflow_uuid, key)"
            " do update set value = excluded.value, serialization = excluded.serialization",
            values,
        )

    def events(self, workflow: str) -> dict[str, tuple[str, str | None]]:
        """Return the latest values."""
        if self._tables is not None:
            found = self._tables.events.get(workflow, {})
            return {key: (value.text, value.serialization) for key, value in found.items()}
        rows = self._run("select key, value, serialization from {}workflow_events where workflow_uuid = :id", workflow)
        return {key: (text, serialization) for key, text, serialization in rows}

    def past_events(self, workflow: str) -> list[tuple[Any, ...]]:
        """Return every value that was set: place, key, text, serialization."""
        if self._tables is not None:
            found = self._tables.event_history.get(workflow, {})
            return sorted((*key, value.text, value.serialization) for key, value in found.items())
        return self._run(
            "select function_id, key, value, serialization from {}workflow_events_history where workflow_uuid = :id"
            " order by function_id, key",
            workflow,
        )

    def append(self, workflow: str, place: int, key: str, text: str, *, offset: int) -> None:
        """Append an entry to a stream."""
        if self._tables is not None:
            entry = StreamEntry(offset, text, FORMAT, place)
            self._tables.streams.setdefault(workflow, {}).setdefault(key, []).append(entry)
            return
        values = {"id": workflow, "place": place, "key": key, "text": text, "offset": offset, "format": FORMAT}
        self._run(
            'insert into {}streams (workflow_uuid, key, value, "offset", function_id, serialization)'
            " values (:id, :key, :text, :offset, :place, :format)",
            values,
        )

    def entries(self, workflow: str, key: str) -> list[tuple[Any, ...]]:
        """Return offset and text of each entry of a stream."""
        if self._tables is not None:
            return [(entry.offset, entry.text) for entry in self._tables.streams.get(workflow, {}).get(key, [])]
        return self._run(
            'select "offset", value from {}streams where workflow_uuid = :id and key = :key order by "offset"',
            {"id": workflow, "key": key},
        )

    def message(self, workflow: str, text: str, *, consumed_by: int | None = None) -> None:
        """Send a message; its text is its id too."""
        if self._tables is not None:
            message = Message(text, workflow, NULL_TOPIC, text, FORMAT, 1, consumed_by)
            self._tables.messages[text] = message
            return
        self._run(
            "insert into {}notifications (message_uuid, destination_uuid, topic, message, serialization, consumed,"
            " consumed_by_function_id, created_at_epoch_ms)"
            " values (:text, :id, :topic, :text, :format, :consumed, :place, 1)",
            {
                "id": workflow,
                "text": text,
                "topic": NULL_TOPIC,
                "format": FORMAT,
                "consumed": consumed_by is not None,
                "place": consumed_by,
            },
        )

    def messages(self, workflow: str) -> list[tuple[Any, ...]]:
        """Return text and receiving place of each message, in their order."""
        if self._tables is not None:
            messages = self._tables.messages.values()
            return [(one.text, one.consumed_by) for one in messages if one.destination == workflow]
        return self._run(
            "select message, consumed_by_function_id from {}notifications where destination_uuid = :id"
            " order by durust_seq",
            workflow,
        )

    def child(self, workflow: str, place: int, child: str) -> None:
        """Link the record at a place to a child."""
        if self._tables is not None:
            steps = self._tables.history[workflow]
            steps[place] = replace(steps[place], child_id=child)
            return
        self._run(
            "update {}operation_outputs set child_workflow_id = :child"
            " where workflow_uuid = :id and function_id = :place",
            {"id": workflow, "place": place, "child": child},
        )

    def count(self, workflow: str) -> int:
        """Return how many rows of any kind bear the workflow's id."""
        if self._tables is not None:
            tables = self._tables
            kept = (tables.workflows, tables.history, tables.events, tables.event_history, tables.streams, tables.waits)
            return sum(bool(table.get(workflow)) for table in kept) + len(self.messages(workflow))
        counts = [
            self._run(f"select count(*) from {{}}{table} where {column} = :id", workflow)[0][0]
            for table, column in _TABLES
        ]
        return sum(map(int, counts)) + self._waits(workflow)

    def _waits(self, workflow: str) -> int:
        waits = "durust_waits" if self._url.startswith("sqlite:") else "durust.waits"
        found: int = self._run(f"select count(*) from {waits} where workflow_id = :id", workflow)[0][0]
        return found

    def _run(self, sql: str, values: Mapping[str, Any] | str) -> list[tuple[Any, ...]]:
        named = {"id": values} if isinstance(values, str) else dict(values)
        if self._url.startswith("sqlite:"):
            with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=10)) as connection, connection:
                return connection.execute(sql.format(""), named).fetchall()
        text = sql.format("dbos.")
        for name in named:
            text = text.replace(f":{name}", f"%({name})s")
        with psycopg.connect(self._url) as database:
            cursor = database.execute(text.encode(), named)
            return cursor.fetchall() if cursor.description else []


_TABLES = (
    ("workflow_status", "workflow_uuid"),
    ("workflow_input", "workflow_uuid"),
    ("workflow_output", "workflow_uuid"),
    ("operation_outputs", "workflow_uuid"),
    ("workflow_events", "workflow_uuid"),
    ("workflow_events_history", "workflow_uuid"),
    ("streams", "workflow_uuid"),
    ("notifications", "destination_uuid"),
)
