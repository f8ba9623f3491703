"""How an error is written as a JSON document, and how it becomes an error again."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import FunctionType, NoneType
from typing import Any

from durust.errors import RemoteError
from durust.exactness import Misfit, agree
from durust.plans import LEAVES, Convert

# The name that the family's other libraries give to an error which tells none.
UNNAMED = "Portable Error"

# Errors inside errors (groups, exhausted retries) are carried this far down; it also ends a circle of them.
NESTING_MAX = 8

# What remains of the message of an error that is too large to be recorded.
MESSAGE_CHARACTERS_MAX = 2000

_CODES = ("code", "error_code", "errno", "status", "status_code")
_DATA = ("data", "details", "payload", "extra", "meta", "metadata")
_LEAF_TAGS = {"$" + leaf.__name__: leaf for leaf in LEAVES}
_ROW_TAGS: dict[str, Callable[[Iterable[Any]], Any]] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
_PATH = type(Path())

Document = dict[str, Any]


class Envelopes:
    """Writes errors as `{"name", "message", "code", "data"}`, and in `durust` what it takes to rebuild them.

    *through* sends a document through JSON and back, *convert* makes a leaf from its text; either may raise anything
    that a bad document deserves.
    """

    def __init__(self, through: Callable[[Any], Any], convert: Convert) -> None:
        self._through = through
        self._convert = convert

    def document(self, error: BaseException, nesting: int = 0) -> Document:
        """Describe *error* as fully as can be read back truthfully; never fails.

        Arguments are left out unless they rebuild the same error, for an error with other arguments would lie.
        """
        for draft in self._drafts(error, nesting):
            try:
                described, proof = draft()
                document: Document = self._through(described)
                if proof(self.rebuild(document)):
                    return document
            except Exception:  # noqa: BLE001, S112 - properties, `__str__` and constructors of the user's raise anything.
                continue
        return plain(error)

    def rebuild(self, document: Document) -> Exception:
        """Make the error that *document* describes, or a `RemoteError` with the same fields; never fails.

        A class is looked up among the modules that are imported already, never imported, and has to be an `Exception`.
        """
        name, message, code = document.get("name"), document.get("message"), document.get("code")
        more = document.get("durust")
        more = more if isinstance(more, dict) else {}
        stand_in = RemoteError(
            name if isinstance(name, str) else UNNAMED,
            message if isinstance(message, str) else "" if message is None else str(message),
            code if type(code) in (int, str) else None,
            document.get("data"),
        )
        error = self._reborn(more) if "args" in more else None
        notes = more.get("notes")
        result = stand_in if error is None else error
        for note in notes if isinstance(notes, list) else ():
            result.add_note(str(note))
        return result

    def _drafts(self, error: BaseException, nesting: int) -> Iterator[Callable[[], tuple[Document, Proof]]]:
        if type(error) is not RemoteError and nesting < NESTING_MAX:
            yield lambda: (self._full(error, nesting, with_state=False), lambda back: _same(error, back))
            # What attributes the first draft loses, and JSON can carry, are kept beside the arguments.
            yield lambda: (self._full(error, nesting, with_state=True), lambda back: alike(error, back))
        yield lambda: (
            _envelope(error, {} if type(error) is RemoteError else {"type": _type_name(type(error))}),
            _remote,
        )

    def _full(self, error: BaseException, nesting: int, *, with_state: bool) -> Document:
        args, state = _recipe(error)
        errors: list[Document] = []

        def carry(nested: BaseException) -> int:
            errors.append(self.document(nested, nesting + 1))
            return len(errors) - 1

        more: Document = {"type": _type_name(type(error)), "args": [_tagged(arg, carry) for arg in args]}
        if with_state:
            more["state"] = _carried(state, carry)
            lost = {name: _type_name(type(state[name])) for name in state.keys() - more["state"].keys()}
            more |= {"lost": lost} if lost else {}
        return _envelope(error, more | ({"errors": errors} if errors else {}))

    def _reborn(self, more: Document) -> Exception | None:
        try:
            cls = _loaded_class(more["type"])
            if not issubclass(cls, Exception):
                return None
            errors = [self.rebuild(nested) for nested in more.get("errors", ())]
            args = tuple(self._untagged(arg, errors) for arg in more["args"])
            state = {name: self._untagged(value, errors) for name, value in more.get("state", {}).items()}
        except Exception:  # noqa: BLE001 - the row may hold anything, and lookups run the users' metaclasses.
            return None
        # First as the class wants it; then past a constructor that takes other arguments than it hands on.
        for make in (cls, functools.partial(_past_constructor, cls)):
            try:
                error = make(*args)
                if state:
                    error.__setstate__(state)
                _drop_pretended(error, more.get("lost", {}))
                if type(error) is cls and _matches(args, _recipe(error)[0]):
                    return error
            except Exception:  # noqa: BLE001, S112 - as above.
                continue
        return None

    def _untagged(self, wire: Any, errors: list[Exception]) -> Any:
        if type(wire) is list:
            return [self._untagged(part, errors) for part in wire]
        if type(wire) is not dict:
            return wire
        tag = next(iter(wire), "")
        if not tag.startswith("$"):
            return {name: self._untagged(part, errors) for name, part in wire.items()}
        content = wire[tag]
        if tag in _LEAF_TAGS:
            return self._convert(content, _LEAF_TAGS[tag])
        if tag in _ROW_TAGS:
            return _ROW_TAGS[tag](self._untagged(content, errors))
        match tag:
            case "$dict":
                return {self._untagged(key, errors): self._untagged(value, errors) for key, value in content}
            case "$float":
                return float(content)
            case "$path":
                return Path(content)
            case "$error":
                return errors[content]
            case "$class":
                return _loaded_class(content)
            case "$enum":
                cls = _loaded_class(content[0])
                if issubclass(cls, Enum):
                    return cls[content[1]]
        raise Misfit(f"the tag {tag!r} is unknown")


Proof = Callable[[Exception], bool]


def plain(error: BaseException) -> Document:
    """Describe *error* by its name and message alone, shortened; never fails."""
    message = _message(error)[:MESSAGE_CHARACTERS_MAX]
    return {"name": type(error).__name__, "message": message, "code": None, "data": None}


def _envelope(error: BaseException, more: Document) -> Document:
    if type(error) is RemoteError:
        fields = {"name": error.name, "message": error.message, "code": error.code, "data": error.data}
    else:
        fields = {"name": type(error).__name__, "message": _message(error), "code": _code(error), "data": _data(error)}
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    more = more | ({"notes": notes} if notes else {})
    return fields | ({"durust": more} if more else {})


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - a user's `__str__` may raise anything.
        return f"(its __str__ raises {type(problem).__name__})"


def _first_attribute(error: BaseException, names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            value = getattr(error, name, None)
        except Exception:  # noqa: BLE001, S112 - a user's property may raise anything.
            continue
        if value is not None:
            return value
    return None


def _code(error: BaseException) -> int | str | None:
    value = _first_attribute(error, _CODES)
    value = value.value if isinstance(value, Enum) else value
    return value if type(value) in (int, str) else None


def _data(error: BaseException) -> Any:
    value = _first_attribute(error, _DATA)
    try:
        _tagged(value, _no_errors)
    except (Misfit, RecursionError):
        return None
    return value


def _recipe(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Answer the arguments and the attributes by which pickle would make the error again."""
    reduced = error.__reduce__()
    if isinstance(reduced, tuple) and reduced[0] is type(error) and isinstance(reduced[1], tuple):
        args, state = reduced[1], reduced[2] if len(reduced) > 2 else None  # noqa: PLR2004 - the state is the third.
    else:
        args, state = error.args, vars(error)
    state = state if isinstance(state, dict) else {}
    return args, {name: value for name, value in state.items() if name != "__notes__"}


def _drop_pretended(error: Exception, lost: dict[str, str]) -> None:
    """Take away what the constructor put in the place of attributes that could not be carried.

    One that makes its message from its arguments is called with the message, and keeps that for the argument.
    """
    for name in lost.keys() & vars(error).keys():
        made = vars(error)[name]
        if made is not None and _type_name(type(made)) != lost[name]:
            del vars(error)[name]


def _past_constructor(cls: type[Exception], *args: Any) -> Exception:
    if not isinstance(cls.__init__, FunctionType):
        raise Misfit("a constructor in C leaves fields unset when it is passed by")
    error = cls.__new__(cls, *args)
    error.args = args
    return error


def _tagged(value: Any, carry: Callable[[BaseException], int]) -> Any:
    """Write *value* as JSON that says itself what it was; raises `Misfit` for what has no such form."""
    kind = type(value)
    if kind in (NoneType, bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_tagged(part, carry) for part in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _tagged(part, carry) for key, part in value.items()}
        return {"$dict": [[_tagged(key, carry), _tagged(part, carry)] for key, part in value.items()]}
    if "$" + kind.__name__ in _ROW_TAGS and kind in _ROW_TAGS.values():
        return {"$" + kind.__name__: [_tagged(part, carry) for part in value]}
    if kind in LEAVES:
        return {"$" + kind.__name__: value}
    if kind is _PATH:
        return {"$path": str(value)}
    if isinstance(value, Enum):
        return {"$enum": [_type_name(kind), value.name]}
    if isinstance(value, type):
        return {"$class": _type_name(value)}
    if isinstance(value, BaseException):
        return {"$error": carry(value)}
    raise Misfit(f"{kind.__name__} has no form in an error")


def _carried(state: dict[str, Any], carry: Callable[[BaseException], int]) -> Document:
    carried = {}
    for name, value in state.items():
        try:
            carried[name] = _tagged(value, carry)
        except Misfit:
            continue
    return carried


def _no_errors(error: BaseException) -> int:
    raise Misfit(f"{type(error).__name__} is an error")


def _type_name(cls: type) -> str:
    module = _main_name() if cls.__module__ == "__main__" else cls.__module__
    return f"{module}:{cls.__qualname__}"


def _main_name() -> str:
    """Answer the name by which the module that runs as `__main__` here is imported by a worker."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec else Path(file).stem if file else "__main__"


def _loaded_class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    found: Any = sys.modules["__main__" if module == _main_name() else module]
    for part in qualname.split("."):
        # By the namespace and not by `getattr`, which may run a module's own `__getattr__` and import something.
        found = vars(found)[part]
    if not isinstance(found, type):
        raise Misfit(f"{name} is no class")
    return found


def _matches(ours: Any, theirs: Any) -> bool:
    """Tell whether both are the same, save that a `RemoteError` may stand for a nested error."""
    if isinstance(ours, BaseException):
        if type(theirs) is RemoteError:
            return True
        return type(ours) is type(theirs) and _matches(list(ours.args), list(theirs.args))
    if type(ours) in (list, tuple) and type(ours) is type(theirs) and len(ours) == len(theirs):
        return all(_matches(mine, other) for mine, other in zip(ours, theirs, strict=True))
    return _matches_exactly(ours, theirs)


def _matches_exactly(ours: Any, theirs: Any) -> bool:
    try:
        agree(ours, theirs)
    except Misfit:
        return False
    return True


def alike(ours: BaseException, theirs: Exception) -> bool:
    """Tell whether an error came through with its type, arguments and message."""
    if type(ours) is not type(theirs) or not _matches(ours.args, theirs.args):
        return False
    # The message may speak of a nested error, for which a `RemoteError` stands now.
    return str(ours) == str(theirs) or not _matches_exactly(ours.args, theirs.args)


def survives(ours: BaseException, theirs: Exception) -> bool:
    """Tell whether an error lost nothing: neither message, arguments and attributes nor those of errors inside it."""
    try:
        return _matches_exactly(ours, theirs) and str(ours) == str(theirs)
    except Exception:  # noqa: BLE001 - attributes and `__str__` are the user's and may raise anything.
        return False


def _same(ours: BaseException, theirs: Exception) -> bool:
    if not alike(ours, theirs):
        return False
    mine, others = _recipe(ours)[1], _recipe(theirs)[1]
    return mine.keys() == others.keys() and all(_matches(mine[name], others[name]) for name in mine)


def _remote(back: Exception) -> bool:
    return type(back) is RemoteError
