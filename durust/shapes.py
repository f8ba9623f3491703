"""What a function's or a class's annotations say, as far as they can be resolved."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final


class _Untyped:
    """The absence of an annotation, which is not the annotation `None`."""

    def __repr__(self) -> str:
        return "UNTYPED"


class _Mirrored:
    """The annotation that each value is its own: whoever writes it does not know what its reader has."""

    def __repr__(self) -> str:
        return "MIRRORED"


UNTYPED: Final = _Untyped()
MIRRORED: Final = _Mirrored()


@dataclass(frozen=True, slots=True)
class Shape:
    """The parameters and the result of a function, as its signature and annotations declare them.

    An annotation that cannot be resolved (a name that exists only under `TYPE_CHECKING`, a class local to some other
    function) leaves its parameter untyped and never fails.
    """

    name: str
    signature: inspect.Signature
    result: Any
    parameters: Mapping[str, Any]
    positions: tuple[str, ...]
    rest: Any
    named_rest: Any

    @classmethod
    def of(cls, fn: Callable[..., Any], *, skip_first: bool) -> Shape:
        """Read *fn*; *skip_first* leaves out the parameter that the caller fills, a workflow's context.

        Raises `TypeError` when there is no such first parameter.
        """
        name = getattr(fn, "__name__", type(fn).__name__)
        try:
            signature = inspect.signature(fn)
        except ValueError:
            # Some builtins tell nothing about themselves.
            signature = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])
        declared = list(signature.parameters.values())
        if skip_first:
            if not declared or declared[0].kind not in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL):
                raise TypeError(f"{name}() must take its context as the first parameter")
            # What takes any number of arguments takes the context too.
            declared = declared[declared[0].kind in _POSITIONAL :]
        hints = function_hints(fn)
        # A class called as a function makes an instance of itself.
        result = fn if isinstance(fn, type) else hints.get("return", UNTYPED)
        annotations = {parameter.name: _annotation(parameter, hints) for parameter in declared}
        by_kind = {parameter.kind: parameter.name for parameter in declared}
        return cls(
            name=name,
            signature=inspect.Signature(declared),
            result=result,
            parameters=annotations,
            positions=tuple(parameter.name for parameter in declared if parameter.kind in _POSITIONAL),
            rest=annotations.get(by_kind.get(inspect.Parameter.VAR_POSITIONAL, ""), UNTYPED),
            named_rest=annotations.get(by_kind.get(inspect.Parameter.VAR_KEYWORD, ""), UNTYPED),
        )

    @classmethod
    def unknown(cls, name: str) -> Shape:
        """Return the shape of a function of which only the name is known: each argument is what it is."""
        return cls(name, inspect.Signature(), UNTYPED, {}, (), MIRRORED, MIRRORED)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Check that the arguments fit the signature.

        Raises `TypeError` that names the function, its parameters and the one that does not fit.
        """
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}({', '.join(self.parameters)}): {error}") from None

    def positional(self, index: int) -> tuple[str, Any]:
        """Answer the name and the annotation of the parameter that a positional argument fills."""
        if index < len(self.positions):
            name = self.positions[index]
            return name, self.parameters[name]
        return f"#{index + 1}", self.rest

    def named(self, name: str) -> Any:
        """Answer the annotation of the parameter that an argument given by name fills."""
        return self.parameters.get(name, self.named_rest)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _annotation(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    hint = hints.get(parameter.name, UNTYPED)
    # `count: int = None` has always meant that None may be given.
    if parameter.default is None and hint is not UNTYPED:
        return typing.Optional[hint]  # noqa: UP045 - a hint is any object of `typing`, and not each of them knows `|`.
    return hint


def function_hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the annotations of *fn*, its closure included; those that cannot be resolved are left out."""
    target = inspect.unwrap(fn)
    while isinstance(target, functools.partial):
        target = inspect.unwrap(target.func)
    if isinstance(target, type):
        target = vars(target).get("__init__", target)
    elif not hasattr(target, "__annotations__"):
        target = type(target).__call__
    code, cells = getattr(target, "__code__", None), getattr(target, "__closure__", None) or ()
    known = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            known[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet; the annotation that needs it stays unresolved.
            continue
    return _resolved(getattr(target, "__annotations__", {}), getattr(target, "__globals__", {}), known)


def class_hints(cls: type, arguments: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Resolve the annotations of *cls* and its bases, with its type variables filled in from *arguments*."""
    variables: dict[type, dict[Any, Any]] = {}
    _bind_variables(cls, arguments, variables)
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        module = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        parameters = {parameter.__name__: parameter for parameter in getattr(base, "__type_params__", ())}
        # The module's names win, or `date: date | None = None` would read its own default. A class that was made inside
        # a function refers to itself by a name which no module knows.
        own = {**vars(base), base.__name__: base, **parameters}
        found = _resolved(inspect.get_annotations(base), own, module)
        hints |= {name: substitute(hint, variables.get(base, {})) for name, hint in found.items()}
    return hints


def substitute(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """Fill in the type variables of *hint* that *variables* knows."""
    if not variables:
        return hint
    if isinstance(hint, typing.TypeVar):
        return variables.get(hint, hint)
    parameters = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
    return hint[tuple(variables.get(parameter, parameter) for parameter in parameters)] if parameters else hint


def _bind_variables(cls: type, arguments: tuple[Any, ...], variables: dict[type, dict[Any, Any]]) -> None:
    own = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    variables[cls] = own
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if isinstance(origin, type) and origin not in variables:
            _bind_variables(origin, tuple(substitute(argument, own) for argument in typing.get_args(base)), variables)


def _resolved(raw: Mapping[str, Any], known_globally: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for name, annotation in raw.items():
        try:
            hints |= typing.get_type_hints(
                SimpleNamespace(__annotations__={name: annotation}), known_globally, known, include_extras=True
            )
        except Exception:  # noqa: BLE001, S112 - the text of an annotation is code and may raise anything.
            continue
    return hints
