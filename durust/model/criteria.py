"""What a filter is given, made into one form: a single value or several, a name or a member, an instant."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from durust.errors import InvalidArgument
from durust.model.records import WorkflowRow
from durust.model.status import Status

# What a database counts rows and milliseconds with.
INT8_MAX = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Cursor = tuple[int, str]
"""Where a page ends: the `created_at_ms` and the id of its last row."""


def texts(name: str, given: Any) -> tuple[str, ...] | None:
    """Return one text or several as a tuple. Raises `InvalidArgument` for anything else."""
    if given is None:
        return None
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise InvalidArgument(name, given, "must be a text or several")
    found = tuple(given)
    for each in found:
        if not isinstance(each, str):
            raise InvalidArgument(name, each, "must be a text")
    return found


def numbers(name: str, given: Any) -> tuple[int, ...]:
    """Return one whole number or several as a tuple. Raises `InvalidArgument` for anything else."""
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    for each in found:
        if not isinstance(each, int) or isinstance(each, bool):
            raise InvalidArgument(name, each, "must be a whole number")
    return found


def statuses(name: str, given: Any) -> tuple[Status, ...] | None:
    """Return one state or several, by member or by name. Raises `InvalidArgument` for a name that is no state."""
    found = texts(name, given)
    if found is None:
        return None
    try:
        return tuple(map(Status, found))
    except ValueError:
        unknown = next(each for each in found if each not in set(Status))
        raise InvalidArgument(name, unknown, f"is no state; the states are {', '.join(Status)}") from None


def check_count(name: str, number: Any) -> None:
    """Check a number of rows. Raises `InvalidArgument`."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= INT8_MAX:
        raise InvalidArgument(name, number, f"must be an integer from 0 to {INT8_MAX}")


def check_truth(name: str, given: Any) -> None:
    """Check what is to be true, false or, where it does not matter, None. Raises `InvalidArgument`."""
    if given is not None and not isinstance(given, bool):
        raise InvalidArgument(name, given, "must be True or False")


def check_instant(name: str, given: Any) -> None:
    """Check an instant. Raises `InvalidArgument` for anything but an aware datetime."""
    if given is not None and (not isinstance(given, datetime) or given.utcoffset() is None):
        raise InvalidArgument(name, given, "must be a datetime with a time zone, as in datetime.now(UTC)")


def milliseconds(instant: datetime | None) -> int | None:
    """Return the first whole millisecond at or after an instant, since the epoch."""
    # Rows have whole milliseconds: those from the instant on, or before it, are those from this one on, or before it.
    return None if instant is None else -((_EPOCH - instant) // timedelta(milliseconds=1))


def cursor(given: Any) -> Cursor | None:
    """Return where a page ended, told by its last row or by two of its fields. Raises `InvalidArgument`."""
    if given is None:
        return None
    if isinstance(given, WorkflowRow):
        return given.created_at_ms, given.workflow_id
    match given:
        case (int(created_at_ms), str(workflow_id)) if -INT8_MAX <= created_at_ms <= INT8_MAX:
            return created_at_ms, workflow_id
    raise InvalidArgument(
        "after", given, "must be the last row of the page before, or its (created_at_ms, workflow_id)"
    )
