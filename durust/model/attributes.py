"""Attributes: a small JSON object by which people find workflows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from durust.errors import InvalidArgument

# They are for finding workflows, and each list compares them: what is larger belongs into an argument or a result.
ATTRIBUTES_BYTES_MAX = 64 * 1024
# Deeper than anybody's search, and shallow enough for every reader's recursion.
ATTRIBUTES_DEPTH_MAX = 32
# As many lists as are under way at a time; each asks for one thing of all its rows.
WANTED_KEPT = 16


def dump_attributes(attributes: Any, *, what: str = "attributes", may_remove: bool = False) -> str:
    """Return *attributes* as a text of JSON, of which each database makes the same object.

    A None at the top takes a name away, where *may_remove*. Raises `InvalidArgument` that names the place of a value
    which JSON does not carry exactly.
    """
    if not isinstance(attributes, Mapping):
        raise InvalidArgument(what, attributes, "must be a dict with texts as keys, as in {'customer': 'c-1'}")
    if not may_remove:
        for key, value in attributes.items():
            if value is None:
                raise InvalidArgument(what, None, f"{key!r} is None, which stands for no attribute: leave it out")
    _check(attributes, what, "", ATTRIBUTES_DEPTH_MAX)
    text = json.dumps(dict(attributes), ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > ATTRIBUTES_BYTES_MAX:
        raise InvalidArgument(what, f"{len(text.encode())} bytes", f"must have at most {ATTRIBUTES_BYTES_MAX} as JSON")
    return text


def _check(value: Any, what: str, path: str, depth: int) -> None:
    if depth == 0:
        raise InvalidArgument(what, path, f"must not be nested deeper than {ATTRIBUTES_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(what, key, f"is a key{_at(path)}, and keys must be texts")
            _check_text(key, what, path)
            _check(part, what, f"{path}.{key}" if path else key, depth - 1)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check(part, what, f"{path}[{index}]", depth - 1)
    elif isinstance(value, str):
        _check_text(value, what, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(what, value, f"stands{_at(path)}, and JSON has finite numbers only")
    elif value is not None and not isinstance(value, bool | int):
        raise InvalidArgument(
            what, value, f"stands{_at(path)}: only texts, numbers, booleans, lists and dicts are attributes"
        )


def _check_text(text: str, what: str, path: str) -> None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidArgument(what, text, f"stands{_at(path)} and holds a NUL or a lone surrogate")


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def load_attributes(text: str | None) -> dict[str, Any]:
    """Return the object that stands in a row; what another library left there and is none counts as empty."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def merge(standing: str | None, patch: str) -> str | None:
    """Return *standing* with each name of *patch* replaced, or taken away where the patch has null; None for nothing.

    Only the top is merged: a nested object is replaced whole.
    """
    merged = load_attributes(standing)
    for key, value in json.loads(patch).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return json.dumps(merged, ensure_ascii=False, separators=(",", ":")) if merged else None


def both(patch: str, other: str) -> str:
    """Return the patch that does what *patch* does, and then *other*."""
    return json.dumps(json.loads(patch) | json.loads(other), ensure_ascii=False, separators=(",", ":"))


def contains(text: str | None, wanted: str) -> bool:
    """Tell whether one JSON value holds another, as the `@>` of Postgres does.

    An object holds one whose every key it has, with a value that holds the other's; an array holds one of whose every
    member it has one that holds it, in any order. Anything else holds its equal; numbers are compared by their value.
    """
    if text is None:
        return False
    try:
        return _holds(_exactly(text), _wanted(wanted))
    except (ValueError, RecursionError):
        # Another library may have written anything.
        return False


@lru_cache(maxsize=WANTED_KEPT)
def _wanted(text: str) -> Any:
    # The same for each row of a list.
    return _exactly(text)


def _exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _holds(standing: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(standing, dict) and all(
            key in standing and _holds(standing[key], part) for key, part in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(standing, list) and all(any(_holds(each, part) for each in standing) for part in wanted)
    if isinstance(standing, dict | list) or isinstance(standing, bool) is not isinstance(wanted, bool):
        return False
    return cast("bool", standing == wanted)
