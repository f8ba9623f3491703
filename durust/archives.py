"""Workflows as documents that JSON carries: taken out of one database, and put into another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from durust import clock
from durust.admission import COMMIT_SECONDS
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, ProviderUnavailable, WorkflowConflict, WorkflowNotFound
from durust.model.copies import EntryCopy, EventCopy, ImportWorkflows, MessageCopy, WorkflowCopy
from durust.model.names import check_name
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.status import DELAYED, ENQUEUED, Status
from durust.model.writes import INTERNAL_QUEUE, Existing, Recorded, Refused
from durust.storage.provider import StateProvider

FORMAT, VERSION = "durust.workflows", 1
# An id that is taken between the look and the write fails the write; then the look finds it.
TRIES_MAX = 2
# What a run holds while it runs, and what names its writer: none of it means anything in another database.
_LEFT_OUT = frozenset({"dedup_id", "executor_id", "token", "creator"})
_LISTS: dict[str, type[Any]] = {
    "steps": Checkpoint,
    "events": EventCopy,
    "past_events": EventCopy,
    "streams": EntryCopy,
    "messages": MessageCopy,
}
# What tells two things of a list apart, in each database.
_KEYS = {
    "steps": ("place",),
    "events": ("key",),
    "past_events": ("place", "key"),
    "streams": ("key", "offset"),
    "messages": ("message_id",),
}
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "Status": (str,), "int": (int,), "bool": (bool,)}


class Archives:
    """The way of documents out of the database and into it."""

    def __init__(self, provider: StateProvider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    def export(self, workflow_id: str, *, children: bool) -> dict[str, Any]:
        """Return the document of a workflow. Raises `WorkflowNotFound`."""
        copies = self._provider.copies(check_name("workflow_id", workflow_id), children=children)
        if not copies:
            raise WorkflowNotFound(workflow_id)
        return {"format": FORMAT, "version": VERSION, "workflows": [_told(copy) for copy in copies]}

    def enter(self, document: Mapping[str, Any]) -> WorkflowRow:
        """Put the workflows of a document into the database, all or none; return the row of the first.

        Raises `InvalidArgument` for what is no such document, and `WorkflowConflict` where an id is taken.
        """
        write = ImportWorkflows(tuple(_settled(copy) for copy in _copies(document)), clock.token())
        for left in reversed(range(TRIES_MAX)):
            match self._journal.commit_all([write], COMMIT_SECONDS)[0]:
                case Recorded():
                    return write.copies[0].row
                case Existing(row):
                    raise WorkflowConflict(f"the workflow id {row.workflow_id!r}", "an import", row.name)
                case Refused(reason):
                    if not left:
                        raise InvalidArgument("document", _label(write), f"the database refused it: {reason}")
                case outcome:
                    raise ProviderUnavailable(self._provider.name, f"an unexpected answer to an import: {outcome}")
        raise AssertionError("unreachable")


def _told(copy: WorkflowCopy) -> dict[str, Any]:
    told = {spec.name: _plain(getattr(copy.row, spec.name)) for spec in fields(WorkflowRow)}
    lists = {
        name: [{spec.name: getattr(item, spec.name) for spec in fields(item)} for item in getattr(copy, name)]
        for name in _LISTS
    }
    return {name: value for name, value in told.items() if name not in _LEFT_OUT} | lists


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Status) else value


def _copies(document: Any) -> list[WorkflowCopy]:
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise InvalidArgument("document", _short(document), "must be what export_workflow returned")
    if document.get("version") != VERSION:
        raise InvalidArgument(
            "document", document.get("version"), f"is of another version than {VERSION}, which this release reads"
        )
    workflows = document.get("workflows")
    if not isinstance(workflows, list) or not workflows:
        raise InvalidArgument("document", _short(workflows), "must hold a list of workflows, one at least")
    copies = [_copy(f"workflows[{index}]", told) for index, told in enumerate(workflows)]
    ids = [copy.row.workflow_id for copy in copies]
    if len(set(ids)) < len(ids):
        raise InvalidArgument("document", ids, "must hold each workflow once")
    return copies


def _copy(where: str, told: Any) -> WorkflowCopy:
    left_out = dict.fromkeys(_LEFT_OUT)
    row: WorkflowRow = _made(WorkflowRow, where, told, left_out)
    check_name("workflow_id", row.workflow_id)
    try:
        row = replace(row, status=Status(row.status))
    except ValueError:
        raise InvalidArgument("document", row.status, f"is no state of a workflow, in {where}") from None
    if row.attributes is not None:
        _demand_object(row.attributes, where)
    return WorkflowCopy(row, **{name: _listed(name, f"{where}.{name}", told.get(name, [])) for name in _LISTS})


def _listed(name: str, where: str, found: Any) -> tuple[Any, ...]:
    if not isinstance(found, list):
        raise InvalidArgument("document", _short(found), f"must be a list, as {where}")
    made = tuple(_made(_LISTS[name], f"{where}[{index}]", item, {}) for index, item in enumerate(found))
    keys = [tuple(getattr(item, key) for key in _KEYS[name]) for item in made]
    if any(None in key for key in keys):
        raise InvalidArgument("document", where, f"must tell the {' and '.join(_KEYS[name])} of each")
    if len(set(keys)) < len(keys):
        raise InvalidArgument("document", where, f"must hold each {' and '.join(_KEYS[name])} once")
    return made


def _demand_object(text: str, where: str) -> None:
    try:
        is_object = isinstance(json.loads(text), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise InvalidArgument("document", text, f"must be the text of a JSON object, as the attributes of {where}")


def _made(kind: type[Any], where: str, told: Any, known: Mapping[str, Any]) -> Any:
    """Return a record from what a document tells of it. Raises `InvalidArgument`."""
    if not isinstance(told, Mapping):
        raise InvalidArgument("document", _short(told), f"must be an object, as {where}")
    values = dict(known)
    for spec in fields(kind):
        if spec.name in known:
            continue
        if spec.name in told:
            values[spec.name] = _checked(spec, where, told[spec.name])
        elif spec.default is MISSING:
            raise InvalidArgument("document", where, f"must have {spec.name!r}")
    return kind(**values)


def _checked(spec: Field[Any], where: str, value: Any) -> Any:
    name, _, rest = str(spec.type).partition(" | ")
    accepted = _TYPES[name]
    if value is None and rest:
        return value
    # True counts as a number in Python, and nowhere else.
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        raise InvalidArgument("document", _short(value), f"must be {spec.type}, as {spec.name!r} of {where}")
    return value


def _settled(copy: WorkflowCopy) -> WorkflowCopy:
    """Return a workflow as it begins in its new database: what had not ended is queued.

    One that was queued for later and never ran keeps its delay; a run that was parked looks anew at what it waits for.
    """
    row = copy.row
    if row.status.is_terminal:
        return copy
    is_delayed = row.status is DELAYED and row.delay_until_ms is not None and not copy.steps and row.attempts == 0
    return replace(
        copy,
        row=replace(
            row,
            status=DELAYED if is_delayed else ENQUEUED,
            queue=row.queue or INTERNAL_QUEUE,
            delay_until_ms=row.delay_until_ms if is_delayed else None,
            started_at_ms=None,
            completed_at_ms=None,
        ),
    )


def _label(write: ImportWorkflows) -> str:
    return write.copies[0].row.workflow_id


def _short(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Mapping | list) else repr(value)[:100]
