"""The filters of `durust workflow list`, and the query that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from durust.commands.desk import Desk
from durust.commands.moments import Moment, moment_at
from durust.commands.options import option
from durust.errors import InvalidArgument
from durust.model.filters import ListFilter
from durust.model.status import Status

# By their flags; each may be said several times, and any of its values is enough.
_TEXTS: dict[str, tuple[str, str, str]] = {
    "name": ("names", "NAME", "Of this workflow; like most filters it may be said several times."),
    "queue": ("queues", "NAME", "On this queue."),
    "executor": ("executor_ids", "ID", "Claimed by this executor."),
    "prefix": ("id_prefix", "TEXT", "Whose id begins so."),
    "version": ("app_versions", "NAME", "Of this version of its code."),
    "user": ("authenticated_users", "NAME", "Started for this user."),
    "parent": ("parent_ids", "ID", "A child of this workflow."),
    "forked-from": ("forked_from", "ID", "A fork of this workflow."),
    "schedule": ("schedule_names", "NAME", "Started by this schedule."),
    "partition": ("partition_keys", "KEY", "With this partition key."),
    "dedup-id": ("dedup_ids", "TEXT", "With this deduplication id."),
}
_MOMENTS: dict[str, tuple[str, str]] = {
    "since": ("created_from", "Created since then: 90s, 12h or 30d ago, or 2026-03-01T09:00Z."),
    "until": ("created_before", "Created before then."),
    "started-since": ("started_from", "Claimed since then."),
    "started-until": ("started_before", "Claimed before then."),
    "completed-since": ("completed_from", "Ended since then."),
    "completed-until": ("completed_before", "Ended before then."),
}
_STATES = click.Choice([each.value for each in Status], case_sensitive=False)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all filters as options; `query_of` takes what they hold."""
    command = option("--priority", multiple=True, type=int, metavar="N", help="Of this priority on its queue.")(command)
    command = option("--all-apps", is_flag=True, help="Of all applications that share the database.")(command)
    command = option(
        "--attribute", multiple=True, metavar="NAME=JSON", help="Whose attributes hold this; a text may be bare."
    )(command)
    for flag, (_, tells) in reversed(_MOMENTS.items()):
        command = option(f"--{flag}", type=Moment(), help=tells)(command)
    for flag, (_, metavar, tells) in reversed(_TEXTS.items()):
        command = option(f"--{flag}", multiple=True, metavar=metavar, help=tells)(command)
    return option("--status", multiple=True, type=_STATES, help="In this state.")(command)


def query_of(desk: Desk, given: dict[str, Any], *, newest_first: bool, limit: int, offset: int) -> ListFilter:
    """Return the query that a command's filters make. Raises `InvalidArgument`."""
    fields: dict[str, Any] = {field: given[flag.replace("-", "_")] or None for flag, (field, _, _) in _TEXTS.items()}
    moments: dict[str, datetime | float] = {
        field: given[flag.replace("-", "_")]
        for flag, (field, _) in _MOMENTS.items()
        if given[flag.replace("-", "_")] is not None
    }
    if moments:
        now_ms = desk.now_ms()
        fields |= {field: moment_at(moment, now_ms) for field, moment in moments.items()}
    return ListFilter(
        **fields,
        statuses=[state.upper() for state in given["status"]] or None,
        attributes=attributes_of(given["attribute"]),
        priorities=given["priority"] or None,
        scope=None if given["all_apps"] else desk.scope,
        newest_first=newest_first,
        limit=limit,
        offset=offset,
    )


def attributes_of(given: Sequence[str]) -> dict[str, Any] | None:
    """Return the attributes that pairs of a name and a value make, None for no pair. Raises `InvalidArgument`."""
    found: dict[str, Any] = {}
    for each in given:
        name, is_pair, text = each.partition("=")
        if not name or not is_pair:
            raise InvalidArgument("attribute", each, "must be NAME=JSON, as in customer=ada or 'size={\"cm\": 4}'")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found or None
