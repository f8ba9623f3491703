"""Which plan an annotation asks for, worked out once for each."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any

from durust.exactness import Attribute, Misfit, wanted
from durust.plans import (
    LEAVES,
    PLAIN,
    SCALARS,
    Convert,
    Lift,
    Plan,
    construct,
    each,
    enum,
    leaf,
    literal,
    model,
    scalar,
    under,
)
from durust.shapes import UNTYPED, class_hints

# Annotations whose plans are remembered; a bound for programs that make classes in a loop.
PLANS_MAX = 2048

_ROWS: dict[type, Callable[[Iterable[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)
_UNIONS = (typing.Union, types.UnionType)
_NUMBERS = (int, float)


class Planner:
    """Works out plans and remembers them.

    *convert* makes a leaf, or an instance of a struct given as `hint`, from plain JSON.
    An annotation that means nothing here counts as none: the value then has to be plain JSON.
    """

    def __init__(self, convert: Convert) -> None:
        self._convert = convert
        self._remembered = functools.lru_cache(PLANS_MAX)(self._build)

    def of(self, hint: Any) -> Plan:
        """Answer the plan of the annotation *hint*."""
        if hint is UNTYPED:
            return PLAIN
        try:
            return self._remembered(hint)
        except TypeError:
            # Unhashable: `Annotated` and `Literal` may hold anything.
            return self._build(hint)

    def key(self, hint: Any, name: str) -> Any:
        """Make the key of a dict, of the annotation *hint*, from the text that stands for it. Raises `Misfit`."""
        return self._key(self.of(hint), name)

    def _build(self, hint: Any) -> Plan:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in _WRAPPERS:
            return self.of(arguments[0])
        if origin is typing.Literal:
            return literal(arguments)
        if origin in _UNIONS:
            return self._union(arguments)
        if isinstance(hint, typing.TypeVar):
            return self._union(hint.__constraints__ or (hint.__bound__ or Any,))
        if isinstance(hint, typing.NewType):
            return self.of(hint.__supertype__)
        if hasattr(hint, "__value__"):
            # A `type` statement may refer to itself, so it is looked into only when there is something to lift.
            return Plan(str(hint), lambda wire: self.of(hint.__value__).lift(wire))
        cls = NoneType if hint is None else origin or hint
        return self._of_class(cls, arguments) if isinstance(cls, type) else PLAIN

    def _of_class(self, cls: Any, arguments: tuple[Any, ...]) -> Plan:
        if cls in SCALARS:
            return scalar(cls)
        if cls in LEAVES:
            return leaf(cls.__name__, functools.partial(self._convert, hint=cls))
        if issubclass(cls, PurePath):
            return leaf(cls.__name__, cls)
        if cls in _ROWS:
            return self._rows(cls.__name__, _ROWS[cls], self.of(arguments[0]) if arguments else PLAIN)
        if cls in _MAPPINGS:
            return self._mapping(*(arguments or (Any, Any)))
        if cls is tuple:
            return self._tuple(arguments)
        if issubclass(cls, Enum):
            return enum(cls)
        if typing.is_typeddict(cls):
            return self._typed_dict(cls, arguments)
        if dataclasses.is_dataclass(cls):
            return self._dataclass(cls, arguments)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._named_tuple(cls, arguments)
        if hasattr(cls, "__struct_fields__"):
            return self._struct(cls, cls[arguments] if arguments else cls)
        if hasattr(cls, "model_validate_json") and hasattr(cls, "model_dump"):
            return model(cls)
        return PLAIN

    def _rows(self, says: str, make: Callable[[Iterable[Any]], Any], item: Plan) -> Plan:
        lift_item = item.lift

        def lift(wire: Any) -> Any:
            if type(wire) is not list:
                raise wanted(says, wire)
            if item is PLAIN and make is list:
                return wire
            made = []
            for index, part in enumerate(wire):
                try:
                    made.append(lift_item(part))
                except Misfit as misfit:
                    misfit.under(index)
                    raise
            if make is list:
                return made
            try:
                return make(made)
            except TypeError:
                raise Misfit(f"{says} of what cannot be hashed") from None

        return Plan(says, lift)

    def _mapping(self, key_hint: Any, value_hint: Any) -> Plan:
        keys, values = self.of(key_hint), self.of(value_hint)
        plain_keys = str in keys.scalars

        def lift(wire: Any) -> Any:
            if type(wire) is not dict:
                raise wanted("dict", wire)
            if plain_keys and values is PLAIN:
                return wire
            made = {}
            for name, part in wire.items():
                try:
                    made[name if plain_keys else self._key(keys, name)] = values.lift(part)
                except Misfit as misfit:
                    misfit.under(name)
                    raise
            return made

        return Plan("dict", lift)

    def _key(self, keys: Plan, name: str) -> Any:
        try:
            return keys.lift(name)
        except Misfit:
            # JSON has only texts for keys, so a number or an enum of numbers stands there as its digits.
            for number in (int, float):
                try:
                    return keys.lift(number(name))
                except (ValueError, Misfit):
                    continue
            raise

    def _tuple(self, arguments: tuple[Any, ...]) -> Plan:
        if not arguments:
            return self._rows("tuple", tuple, PLAIN)
        if len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 - `tuple[int, ...]` is spelled so.
            return self._rows("tuple", tuple, self.of(arguments[0]))
        items = [self.of(argument) for argument in arguments if argument != ()]

        def lift(wire: Any) -> Any:
            if type(wire) is not list or len(wire) != len(items):
                raise wanted(f"tuple of {len(items)}", wire)
            return tuple(each(wire, items, range(len(items))))

        return Plan("tuple", lift)

    def _named_tuple(self, cls: Any, arguments: tuple[Any, ...]) -> Plan:
        names: tuple[str, ...] = cls._fields

        @functools.cache
        def plans() -> list[Plan]:
            hints = class_hints(cls, arguments)
            return [self.of(hints.get(name, UNTYPED)) for name in names]

        def lift(wire: Any) -> Any:
            if type(wire) is not list or len(wire) > len(names):
                raise wanted(cls.__name__, wire)
            return construct(cls.__name__, cls, *each(wire, plans(), map(Attribute, names)))

        return Plan(cls.__name__, lift)

    def _typed_dict(self, cls: Any, arguments: tuple[Any, ...]) -> Plan:
        names = cls.__required_keys__ | cls.__optional_keys__

        @functools.cache
        def plans() -> tuple[dict[str, Plan], list[str]]:
            hints = class_hints(cls, arguments)
            # The class itself cannot tell when its annotations are texts.
            optional = cls.__optional_keys__ | {n for n in hints if typing.get_origin(hints[n]) is typing.NotRequired}
            return {name: self.of(hint) for name, hint in hints.items()}, sorted(names - optional)

        def lift(wire: Any) -> Any:
            if type(wire) is not dict:
                raise wanted(cls.__name__, wire)
            known, required = plans()
            for name in required:
                if name not in wire:
                    raise Misfit(f"{cls.__name__} needs the key {name!r}")
            # Keys that the class does not know stay, as they do in Python.
            return {name: under(name, known.get(name, PLAIN), part) for name, part in wire.items()}

        return Plan(cls.__name__, lift, names=names)

    def _dataclass(self, cls: Any, arguments: tuple[Any, ...]) -> Plan:
        fields = dataclasses.fields(cls)

        # Late, because a class may refer to itself, or to one that is defined below it.
        @functools.cache
        def plans() -> list[tuple[str, Lift, bool]]:
            hints = class_hints(cls, arguments)
            return [(field.name, self.of(hints.get(field.name, UNTYPED)).lift, field.init) for field in fields]

        def lift(wire: Any) -> Any:
            if type(wire) is not dict:
                raise wanted(cls.__name__, wire)
            given: dict[str, Any] = {}
            late: dict[str, Any] = {}
            for name, lift_field, init in plans():
                if name in wire:
                    try:
                        (given if init else late)[name] = lift_field(wire[name])
                    except Misfit as misfit:
                        misfit.under(Attribute(name))
                        raise
            made = construct(cls.__name__, cls, **given)
            for name, value in late.items():
                # Frozen classes refuse assignment; this is how their own constructor gets past that.
                object.__setattr__(made, name, value)
            return made

        return Plan(cls.__name__, lift, names=frozenset(field.name for field in fields))

    def _struct(self, cls: Any, hint: Any) -> Plan:
        convert = self._convert

        def lift(wire: Any) -> Any:
            return construct(cls.__name__, convert, wire, hint)

        return Plan(cls.__name__, lift, names=frozenset(cls.__struct_encode_fields__))

    def _union(self, arguments: tuple[Any, ...]) -> Plan:
        # Two spellings of one union count as equal and share a plan, so the order written must not matter.
        found = [self.of(argument) for argument in sorted(arguments, key=repr)]
        arms = tuple(arm for plan in found for arm in plan.arms or (plan,))
        scalars = frozenset().union(*(arm.scalars for arm in arms))
        # What has to be rebuilt is tried before what JSON carries itself.
        special = [arm for arm in arms if not arm.scalars]
        # A number is the number itself where the union knows it: what stands as text was not written as one.
        numeric = [arm for arm in special if not arm.is_text]
        says = " | ".join(arm.says for arm in arms)
        anything = PLAIN in arms

        def lift(wire: Any) -> Any:
            kind = type(wire)
            tried = numeric if kind in _NUMBERS and kind in scalars else special
            for arm in _by_names(tried, wire.keys()) if kind is dict else tried:
                try:
                    return arm.lift(wire)
                except Misfit:
                    continue
            if anything or kind in scalars:
                return wire
            raise wanted(says, wire)

        untouched = scalars if not special else scalars & {NoneType} if not _any_takes_none(special) else frozenset()
        return Plan(says, lift, untouched, arms=arms)


def _by_names(arms: list[Plan], keys: collections.abc.Set[str]) -> list[Plan]:
    # `sorted` is stable, so arms that know as much keep their order; one without names is the last resort.
    return sorted(arms, key=lambda arm: math.inf if arm.names is None else len(arm.names ^ keys))


def _any_takes_none(arms: list[Plan]) -> bool:
    for arm in arms:
        try:
            arm.lift(None)
        except Misfit:
            continue
        return True
    return False
