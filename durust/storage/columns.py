"""Values turned into columns: the arrays that one statement takes for a whole batch of a type."""

from __future__ import annotations

from collections.abc import Iterable

from durust.model.filters import Scope
from durust.storage.links import Param

Params = dict[str, Param]

# Stands in no text that is worth a shortcut.
_BETWEEN = "\x1f"


def texts(values: Iterable[str | None]) -> str:
    """Write an array of texts the way Postgres reads it; one in which nothing stands is empty.

    Beside other columns an empty one is filled up with NULL, for less than reading each takes.
    """
    # By hand, because a general adapter looks at each element's type and takes several times as long.
    items = list(values)
    if items.count(None) == len(items):
        return "{}"
    if None not in items:
        # Most columns need no quoting: then all of them are looked at, and written, at once.
        together = _BETWEEN.join(items)  # type: ignore[arg-type]  # None is not in it
        if '"' not in together and "\\" not in together and together.count(_BETWEEN) == len(items) - 1:
            return '{"' + together.replace(_BETWEEN, '","') + '"}'
    return "{" + ",".join(["NULL" if value is None else _quote(value) for value in items]) + "}"


def _quote(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    # Added and not formatted, because an enum's member formats as its name.
    return '"' + value + '"'


def numbers(values: Iterable[float | None]) -> str:
    """Write an array of numbers the way Postgres reads it; one in which nothing stands is empty, as among texts."""
    items = list(values)
    if items.count(None) == len(items):
        return "{}"
    # Added to zero, because an enum's member shows its name.
    return "{" + ",".join(["NULL" if value is None else repr(value + 0) for value in items]) + "}"


def milliseconds(seconds: float) -> int:
    """Return *seconds* in whole milliseconds."""
    return round(seconds * 1000)


def any_of(values: Iterable[str] | None) -> str | None:
    """Write the texts of a filter, or NULL for one that is not set."""
    return None if values is None else texts(values)


def scope(of: Scope) -> Params:
    """Return whose rows are meant."""
    return {"app": of.app_name, "names": texts(of.names)}
