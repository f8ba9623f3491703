"""The roles of the user for whom a workflow runs, and the ones that a workflow demands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from durust.errors import InvalidArgument
from durust.model.names import check_name


def check_roles(what: str, roles: Any) -> tuple[str, ...]:
    """Return *roles* as a tuple. Raises `InvalidArgument` for anything but several names."""
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        raise InvalidArgument(what, roles, "must be several names, as in ['admin']")
    return tuple(check_name(what, role) for role in roles)


def dump_roles(roles: Sequence[str]) -> str | None:
    """Return *roles* as a row holds them: a JSON array, or nothing for none."""
    return json.dumps(list(roles), ensure_ascii=False, separators=(",", ":")) if roles else None


def load_roles(text: str | None) -> tuple[str, ...]:
    """Return the roles that stand in a row; what another writer left there and is no array of names is none."""
    if not text:
        return ()
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    return tuple(role for role in found if isinstance(role, str)) if isinstance(found, list) else ()


def assume(required: Sequence[str], held: Sequence[str]) -> str | None:
    """Return the first of the *required* roles that is held, or None."""
    return next((role for role in required if role in held), None)
