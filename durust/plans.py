"""A plan makes a value of one annotation from plain JSON; here are those that need no other plan."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Protocol

from durust.exactness import ATOMS, Misfit, wanted

# What stands in JSON as one text in a well-known form.
LEAVES: tuple[type, ...] = (datetime, date, time, timedelta, uuid.UUID, Decimal, bytes, bytearray)

# What JSON carries itself. Python's typing lets a bool be an int, and an int do for a float; JSON tells them apart.
SCALARS: dict[type, frozenset[type]] = {
    NoneType: frozenset({NoneType}),
    bool: frozenset({bool}),
    int: frozenset({int, bool}),
    float: frozenset({float, int}),
    str: frozenset({str}),
}

Lift = Callable[[Any], Any]


class Convert(Protocol):
    """Makes a leaf or a struct from plain JSON; raises `ValueError` or `TypeError` when it does not fit."""

    def __call__(self, wire: Any, hint: Any) -> Any: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Makes a value of one annotation from plain JSON, or raises `Misfit` with the place that does not fit."""

    says: str
    lift: Lift
    # Types of which each value passes through `lift` unchanged, so that there is nothing to prove about them.
    scalars: frozenset[type] = frozenset()
    # The keys of the JSON object, by which a union finds the arm that knows most of them.
    names: frozenset[str] | None = None
    # Whether values stand in JSON as one text, though a number may be read as one too.
    is_text: bool = False
    # What a union chooses from, so that a union of unions is one.
    arms: tuple[Plan, ...] = ()


def _as_it_is(wire: Any) -> Any:
    return wire


PLAIN = Plan("plain JSON", _as_it_is, ATOMS)


def scalar(cls: type) -> Plan:
    """Plan for what JSON carries itself."""
    allowed = SCALARS[cls]
    says = "None" if cls is NoneType else cls.__name__

    def lift(wire: Any) -> Any:
        if type(wire) in allowed:
            return wire
        raise wanted(says, wire)

    return Plan(says, lift, allowed)


def leaf(says: str, convert: Lift) -> Plan:
    """Plan for what stands in JSON as one text."""

    def lift(wire: Any) -> Any:
        try:
            return convert(wire)
        except (TypeError, ValueError, ArithmeticError):
            raise wanted(f"{says} as text" if type(wire) is str else says, wire) from None

    return Plan(says, lift, is_text=True)


def literal(allowed: tuple[Any, ...]) -> Plan:
    """Plan for one of the values listed, with its own type."""
    says = f"one of {', '.join(map(repr, allowed))}"

    def lift(wire: Any) -> Any:
        for value in allowed:
            plain = value.value if isinstance(value, Enum) else value
            if type(plain) is type(wire) and plain == wire:
                return value
        raise wanted(says, wire)

    return Plan(says, lift)


def model(cls: Any) -> Plan:
    """Plan for a pydantic model, or whatever validates itself by the same method."""

    def lift(wire: Any) -> Any:
        # As JSON again, because a strict model takes the text of an instant from JSON only.
        return construct(cls.__name__, cls.model_validate_json, json.dumps(wire))

    return Plan(cls.__name__, lift, names=frozenset(getattr(cls, "model_fields", ())))


def enum(cls: type[Enum]) -> Plan:
    """Plan for the members of an enum, which stand in JSON as their values."""

    def lift(wire: Any) -> Any:
        try:
            return cls(tuple(wire) if type(wire) is list else wire)
        except (ValueError, TypeError, KeyError):
            raise wanted(cls.__name__, wire) from None

    return Plan(cls.__name__, lift)


def each(wire: list[Any], plans: list[Plan], steps: Iterable[Any]) -> list[Any]:
    """Lift each part by its own plan; *steps* name the places."""
    return [under(step, plan, part) for part, plan, step in zip(wire, plans, steps, strict=False)]


def under(step: Any, plan: Plan, part: Any) -> Any:
    """Lift *part*; a misfit in it lies under *step*."""
    try:
        return plan.lift(part)
    except Misfit as misfit:
        misfit.under(step)
        raise


def construct(says: str, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a constructor or validator; whatever it raises is a misfit."""
    try:
        return make(*args, **kwargs)
    except RecursionError:
        raise
    except Exception as error:
        # Constructors and validators are the user's and may raise anything.
        raise Misfit(f"{says} refuses it: {' '.join(str(error).split())}") from error
