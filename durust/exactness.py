"""Whether a value and what its record reads back as are the same, to the type and the last digit."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from types import NoneType
from typing import Any

# What JSON carries as it is; equality of type and value says all about them.
ATOMS = frozenset({NoneType, bool, int, float, str})

# Classes whose members are remembered; a bound for programs that make classes in a loop.
CLASSES_MAX = 2048

Judge = Callable[[Any, Any], None]

_ABSENT = object()


class Attribute(str):
    """A step of a path into an attribute; the other steps are keys and indexes."""

    __slots__ = ()


class Misfit(Exception):
    """A value, or a place inside one, that does not come through as it went in."""

    def __init__(self, reason: str, *, wanted: str = "") -> None:
        super().__init__(reason, wanted)
        self.reason, self.wanted = reason, wanted
        self.steps: list[Any] = []

    def under(self, step: object) -> None:
        """Note that the place lies below *step*; called from the inside out."""
        self.steps.insert(0, step)


def wanted(what: str, found: object) -> Misfit:
    """Say that *found* stands where *what* belongs."""
    return Misfit(f"{what} wanted, {describe(found)} found", wanted=what)


def describe(value: object) -> str:
    """Name *value* for a message without showing what may be large or secret."""
    if value is None or (type(value) is float and not math.isfinite(value)):
        return repr(value)
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def render(steps: list[Any]) -> str:
    """Write the steps of a path as code would: `[2].price`."""
    return "".join(f".{step}" if isinstance(step, Attribute) else f"[{step!r}]" for step in steps)


def agree(ours: Any, theirs: Any) -> None:
    """Raise `Misfit`, with the first place where they differ, unless both values are the same.

    The same means: equal, and of the same type in every place; a named tuple is no tuple, True is not 1, Decimal("1.0")
    is not Decimal("1.00"). Instants are compared by what their text says, fields and offset: no text carries the
    rules of a zone, and the fold of a naive one, set for an hour each autumn, is nothing that Python compares either.
    """
    kind = type(ours)
    if kind is not type(theirs):
        raise Misfit(f"{describe(ours)} would read back as {describe(theirs)}")
    (_JUDGES.get(kind) or _judge_of(kind))(ours, theirs)


def _agree_equal(ours: Any, theirs: Any) -> None:
    try:
        same = bool(ours == theirs)
    except Exception:  # noqa: BLE001 - the `__eq__` of any library may raise anything, and then nothing is proved.
        same = False
    if not same:
        raise _altered(ours)


def _agree_texts(ours: Any, theirs: Any) -> None:
    if str(ours) != str(theirs):
        raise _altered(ours)


def _agree_clocks(ours: Any, theirs: Any) -> None:
    if ours.isoformat() != theirs.isoformat():
        raise _altered(ours)


def _agree_rows(ours: Any, theirs: Any) -> None:
    if len(ours) != len(theirs):
        raise _altered(ours)
    for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        kind = type(mine)
        if kind in ATOMS and kind is type(other) and mine == other:
            continue
        try:
            agree(mine, other)
        except Misfit as misfit:
            misfit.under(index)
            raise


def _agree_dicts(ours: Any, theirs: Any) -> None:
    if len(ours) != len(theirs):
        raise Misfit(f"of {len(ours)} keys {len(theirs)} would read back")
    for (key, mine), (other_key, other) in zip(ours.items(), theirs.items(), strict=True):
        if type(key) is not type(other_key) or key != other_key:
            raise Misfit(f"the key {key!r} would read back as {other_key!r}")
        kind = type(mine)
        if kind in ATOMS and kind is type(other) and mine == other:
            continue
        try:
            # Keys need this too: (1,) and (True,) are equal.
            if type(key) is not str:
                agree(key, other_key)
            agree(mine, other)
        except Misfit as misfit:
            misfit.under(key)
            raise


def _agree_sets(ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise _altered(ours)
    twins = {other: other for other in theirs}
    for mine in ours:
        agree(mine, twins[mine])


def _agree_errors(ours: Any, theirs: Any) -> None:
    agree(ours.args, theirs.args)
    _agree_attributes(ours, theirs)


def _agree_attributes(ours: Any, theirs: Any) -> None:
    for name in vars(ours).keys() | vars(theirs).keys():
        _agree_member(ours, theirs, name)


def _agree_models(ours: Any, theirs: Any) -> None:
    _agree_attributes(ours, theirs)
    _agree_equal(ours, theirs)


def _agree_member(ours: Any, theirs: Any, name: str) -> None:
    mine, other = getattr(ours, name, _ABSENT), getattr(theirs, name, _ABSENT)
    if mine is other:
        return
    try:
        agree(mine, other)
    except Misfit as misfit:
        misfit.under(Attribute(name))
        raise


def _agree_members(names: tuple[str, ...], ours: Any, theirs: Any) -> None:
    for name in names:
        mine, other = getattr(ours, name, _ABSENT), getattr(theirs, name, _ABSENT)
        kind = type(mine)
        if kind in ATOMS and kind is type(other) and mine == other:
            continue
        _agree_member(ours, theirs, name)
    if hasattr(ours, "__dict__") and not vars(ours).keys() <= vars(theirs).keys():
        for name in vars(ours).keys() - vars(theirs).keys():
            # A cached property is worked out again when somebody asks.
            if not isinstance(getattr(type(ours), name, None), functools.cached_property):
                raise Misfit(f"the attribute {name!r} is no field and would be lost")


def _altered(ours: object) -> Misfit:
    return Misfit(f"{describe(ours)} would read back with another value")


_JUDGES: dict[type, Judge] = {
    **dict.fromkeys(ATOMS - {float}, _agree_equal),
    # By its text, for nan is not equal to itself, and zero has a sign.
    float: _agree_texts,
    dict: _agree_dicts,
    list: _agree_rows,
    tuple: _agree_rows,
    set: _agree_sets,
    frozenset: _agree_sets,
    datetime: _agree_clocks,
    time: _agree_clocks,
    Decimal: _agree_texts,
}


def _judge(kind: Any) -> Judge:
    if dataclasses.is_dataclass(kind):
        return functools.partial(_agree_members, tuple(field.name for field in dataclasses.fields(kind)))
    if hasattr(kind, "__struct_fields__"):
        return functools.partial(_agree_members, kind.__struct_fields__)
    if issubclass(kind, tuple):
        return _agree_rows
    if issubclass(kind, BaseException):
        return _agree_errors
    if hasattr(kind, "model_dump"):
        return _agree_models
    return _agree_equal


_judge_of: Callable[[type], Judge] = functools.lru_cache(CLASSES_MAX)(_judge)
