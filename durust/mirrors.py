"""A plan after the value itself, for a caller who does not know what the reader's annotations say."""

from __future__ import annotations

from typing import Any

from durust.exactness import ATOMS, Misfit, wanted
from durust.planner import Planner
from durust.plans import Plan, under

_ROWS = (list, tuple, set, frozenset)


def mirror(planner: Planner, value: Any) -> Plan:
    """Plan for *value* as whoever knows the type of each of its parts reads it.

    A dataclass is read by its own annotations, a tuple as a tuple, an instant as an instant. What does not come
    through even so fits no annotation at all.
    """
    return Plan("what it is", lambda wire: _lift(planner, value, wire), ATOMS)


def _lift(planner: Planner, value: Any, wire: Any) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return wire
    if kind is dict:
        return _mapping(planner, value, wire)
    if kind not in _ROWS:
        return planner.of(kind).lift(wire)
    if type(wire) is not list or len(wire) != len(value):
        raise wanted(kind.__name__, wire)
    pairs = enumerate(zip(value, wire, strict=True))
    return kind(under(index, mirror(planner, mine), part) for index, (mine, part) in pairs)


def _mapping(planner: Planner, value: dict[Any, Any], wire: Any) -> dict[Any, Any]:
    if type(wire) is not dict:
        raise wanted("dict", wire)
    if len(wire) != len(value):
        raise Misfit(f"of {len(value)} keys {len(wire)} would read back")
    return {
        key if type(key) is str else planner.key(type(key), name): under(key, mirror(planner, mine), part)
        for (key, mine), (name, part) in zip(value.items(), wire.items(), strict=True)
    }
