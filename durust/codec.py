"""How values, arguments and errors are written as text and read back as the same."""

from __future__ import annotations

import base64
import json
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import NoneType
from typing import Any, Final, NamedTuple, NoReturn

import cloudpickle
import msgspec

from durust.envelopes import UNNAMED, Envelopes, alike, plain, survives
from durust.errors import InvalidArgument, RemoteError, SerializationError
from durust.exactness import ATOMS, Attribute, Misfit, agree, describe, render
from durust.mirrors import mirror
from durust.planner import Planner
from durust.plans import PLAIN, Plan
from durust.shapes import MIRRORED, UNTYPED, Shape

__all__ = ["PICKLE", "PORTABLE_JSON", "UNTYPED", "Codec", "Encoded", "Shape"]

PORTABLE_JSON: Final = "portable_json"
PICKLE: Final = "py_pickle"

# A larger value belongs in a file or an object store; each replay of its workflow would fetch it again.
VALUE_BYTES_MAX: Final = 64 * 1024 * 1024

# Deeper values might be written from a shallow stack and then not be readable from a deep one. Reading takes up to two
# frames of Python a level, and Python allows a thousand.
DEPTH_MAX: Final = 200

_ANNOTATE = 'annotate it (parameter, return type, field), pass `type=`, or choose serializer="pickle"'
_MADE_OF = 'make it of dataclasses, texts, numbers, lists and dicts with text keys, or choose serializer="pickle"'
_CONFORM = 'make the value fit its annotation, widen the annotation, or choose serializer="pickle"'
_FINITE = 'JSON has finite numbers only: use None or a text for it, or choose serializer="pickle"'
_LEAVE_OUT = "leave out what holds threads, files, sockets or generators"
_READABLE = "mend the row, or the annotation it is read with"
_WRITE_PORTABLE = "have it written as portable_json, or read it with the library that wrote it"
_ALLOW_PICKLE = 'choose serializer="pickle", if you trust whoever writes to the database'


class Encoded(NamedTuple):
    """A value as a row holds it: its text, and the name of the format it is written in."""

    text: str | None
    serialization: str


@dataclass(frozen=True, slots=True)
class Codec:
    """Writes values so that they read back as the same, or refuses to.

    JSON is the default: each value is proved to read back with the same types and the same digits, rebuilt by its
    annotation where JSON itself cannot carry it. `serializer="pickle"` takes arbitrary objects and trusts the database.
    What is read is read in the format that its row names; pickles only by a codec that was made for them.

    Raises `SerializationError` that names the place inside the value and the remedy.
    """

    serializer: str = "json"
    value_bytes_max: int = VALUE_BYTES_MAX

    def __post_init__(self) -> None:
        if self.serializer not in ("json", "pickle"):
            raise InvalidArgument("serializer", self.serializer, "must be 'json' or 'pickle'")
        if self.value_bytes_max < 1:
            raise InvalidArgument("value_bytes_max", self.value_bytes_max, "must be at least 1")

    def dump(self, value: Any, annotation: Any = UNTYPED, *, what: str = "value") -> Encoded:
        """Write *value*; *what* names it in an error."""
        return self.settle(value, annotation, what=what)[0]

    def settle(self, value: Any, annotation: Any = UNTYPED, *, what: str = "value") -> tuple[Encoded, Any]:
        """Write *value*, and answer with it the value exactly as its record reads back."""
        if self.serializer == "pickle":
            text = self._pickled(value, what)
            return Encoded(text, PICKLE), value if type(value) in ATOMS else _unpickled(text, what)
        plan = mirror(_PLANNER, value) if annotation is MIRRORED else _PLANNER.of(annotation)
        kind = type(value)
        if kind in plan.scalars:
            if kind is NoneType:
                return _NULL, None
            if kind is not float or math.isfinite(value):
                try:
                    data = _ENCODER.encode(value)
                except ValueError:
                    # A surrogate, or an integer with more digits than Python will read; the long way knows.
                    return self._settled(value, plan, what)
                return self._bounded(data, what), value
        return self._settled(value, plan, what)

    def load(
        self, text: str | None, serialization: str | None, annotation: Any = UNTYPED, *, what: str = "value"
    ) -> Any:
        """Read what `dump` wrote, or what another library of the family wrote in a portable form."""
        if text is None:
            return None
        if self._is_pickle(serialization, what):
            return _unpickled(text, what)
        return _lifted(_parsed(text, what), _PLANNER.of(annotation), what)

    def dump_arguments(self, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Encoded:
        """Write the arguments of a call, each by the annotation of the parameter it fills."""
        if self.serializer == "pickle":
            what = f"arguments of {shape.name}"
            text = self._pickled({"args": tuple(args), "kwargs": dict(kwargs)}, what)
            _unpickled(text, what)
            return Encoded(text, PICKLE)
        positional: list[str] = []
        for index, value in enumerate(args):
            name, annotation = shape.positional(index)
            positional.append(self.dump(value, annotation, what=_argument(name, shape)).text or "null")
        named = []
        for name, value in kwargs.items():
            written = self.dump(value, shape.named(name), what=_argument(name, shape)).text
            named.append(f"{_encode(name).decode()}:{written}")
        text = f'{{"positionalArgs":[{",".join(positional)}],"namedArgs":{{{",".join(named)}}}}}'
        return self._bounded(text.encode(), f"arguments of {shape.name}")

    def dump_call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Encoded:
        """Write the arguments of a call to a function that is known here by its name alone.

        Each value is written if the annotations of its own types rebuild it, which are then for its reader to have.
        """
        try:
            return self.dump_arguments(Shape.unknown(name), args, kwargs)
        except SerializationError as error:
            # Whoever calls has no annotation to mend.
            remedy = _MADE_OF if error.remedy in {_ANNOTATE, _CONFORM} else error.remedy
            raise SerializationError(error.path, error.reason, remedy) from None

    def load_arguments(
        self, text: str | None, serialization: str | None, shape: Shape
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read the arguments of a call; whether they fit the signature is for `Shape.bind` to say."""
        what = f"arguments of {shape.name}"
        if text is None:
            return (), {}
        if self._is_pickle(serialization, what):
            found = _unpickled(text, what)
            if not isinstance(found, dict) or not {"args", "kwargs"} <= found.keys():
                raise SerializationError(what, "the pickle holds no args and kwargs", _READABLE)
            return tuple(found["args"]), dict(found["kwargs"])
        found = _parsed(text, what)
        # Both keys are optional, and other languages write null for an empty list.
        positional, named = (found.get("positionalArgs"), found.get("namedArgs")) if type(found) is dict else (0, 0)
        positional, named = [] if positional is None else positional, {} if named is None else named
        if type(positional) is not list or type(named) is not dict:
            raise SerializationError(what, "positionalArgs (a list) and namedArgs (an object) wanted", _READABLE)
        args = []
        for index, wire in enumerate(positional):
            name, annotation = shape.positional(index)
            args.append(_lifted(wire, _PLANNER.of(annotation), _argument(name, shape)))
        kwargs = {
            name: _lifted(wire, _PLANNER.of(shape.named(name)), _argument(name, shape)) for name, wire in named.items()
        }
        return tuple(args), kwargs

    def dump_error(self, error: BaseException) -> Encoded:
        """Write *error*; never fails. What cannot be carried is replaced by something readable."""
        if self.serializer == "pickle":
            return Encoded(self._pickled_error(error), PICKLE)
        data = _encode(_ENVELOPES.document(error))
        if len(data) > self.value_bytes_max:
            data = _encode(plain(error))
        return Encoded(data.decode(), PORTABLE_JSON)

    def settle_error(self, error: BaseException) -> tuple[Encoded, BaseException]:
        """Write *error*, and answer with it the error as its record reads back; never fails.

        That is *error* itself, with its traceback, where nothing of it is lost; else it is the cause of the other.
        """
        encoded = self.dump_error(error)
        back = self.load_error(encoded.text, encoded.serialization)
        if survives(error, back):
            return encoded, error
        back.__cause__ = error
        return encoded, back

    def load_error(self, text: str | None, serialization: str | None) -> Exception:
        """Make the recorded error again; never fails.

        A class that cannot be rebuilt is answered as a `RemoteError` with the same fields, a text that cannot be read
        as the `SerializationError` that says why.
        """
        try:
            if self._is_pickle(serialization, "error"):
                document = _unpickled(text or "", "error")
            else:
                document = _decode(text or "")
        except SerializationError as problem:
            return problem
        except (ValueError, RecursionError):
            # Not JSON: other languages write the bare message of an error that tells nothing else.
            return RemoteError(UNNAMED, text or "")
        if isinstance(document, Exception):
            return document
        if isinstance(document, dict) and "message" in document:
            return _ENVELOPES.rebuild(document)
        return RemoteError(UNNAMED, document if isinstance(document, str) else text or "")

    def _settled(self, value: Any, plan: Plan, what: str) -> tuple[Encoded, Any]:
        try:
            data = _encode(value)
        except RecursionError:
            raise _too_deep(what) from None
        except Exception as error:  # noqa: BLE001 - besides our own, a model's `model_dump` may raise anything.
            raise _unwritable(value, plan, what, error) from None
        encoded = self._bounded(data, what)
        try:
            wire = _decode(data)
            if _is_deep(data, wire):
                raise _too_deep(what)
            back = plan.lift(wire)
            agree(value, back)
        except Misfit as misfit:
            raise _misfit(value, plan, what, misfit) from None
        except RecursionError:
            raise _too_deep(what) from None
        return encoded, back

    def _bounded(self, data: bytes, what: str) -> Encoded:
        if len(data) > self.value_bytes_max:
            raise _too_large(what, len(data), self.value_bytes_max)
        return Encoded(data.decode(), PORTABLE_JSON)

    def _pickled(self, value: Any, what: str) -> str:
        try:
            try:
                data = pickle.dumps(value)
            except Exception:  # noqa: BLE001 - `__reduce__` is the user's; the next one knows more ways.
                data = cloudpickle.dumps(value)
        except Exception as error:
            reason = f"{describe(value)} cannot be pickled: {error}"
            raise SerializationError(what, reason, _LEAVE_OUT) from error
        text = base64.b64encode(data).decode()
        if len(text) > self.value_bytes_max:
            raise _too_large(what, len(text), self.value_bytes_max)
        return text

    def _pickled_error(self, error: BaseException) -> str:
        document = _ENVELOPES.document(error)
        for form in (error, document):
            try:
                text = self._pickled(form, "error")
                if form is document or _same_pickled(error, _unpickled(text, "error")):
                    return text
            except Exception:  # noqa: BLE001, S112 - `__eq__` and `__str__` of a user's error may raise anything.
                continue
        return base64.b64encode(pickle.dumps(plain(error))).decode()

    def _is_pickle(self, serialization: str | None, what: str) -> bool:
        match serialization:
            case None | "" | "portable_json":
                return False
            case "py_pickle" if self.serializer == "pickle":
                return True
            case "py_pickle":
                raise SerializationError(what, "it is stored as py_pickle, which is not loaded unasked", _ALLOW_PICKLE)
            case unknown:
                raise SerializationError(what, f"it is stored in the format {unknown!r}, unknown here", _WRITE_PORTABLE)


def _form(value: Any) -> Any:
    """Write what msgspec does not know; models are known by their methods, so that pydantic stays the user's."""
    if hasattr(value, "model_dump") and hasattr(type(value), "model_validate_json"):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError("it has no form there")


def _encode(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but JSON can name it by its escape.
        plain_value = msgspec.to_builtins(value, str_keys=True, enc_hook=_form)
        text = json.dumps(plain_value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _decode(text: str | bytes) -> Any:
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        if not _SURROGATE_ESCAPE.search(text if isinstance(text, str) else text.decode()):
            raise
        return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _convert(wire: Any, hint: Any) -> Any:
    return msgspec.convert(wire, hint, str_keys=True)


def _parsed(text: str, what: str) -> Any:
    try:
        return _decode(text)
    except ValueError as error:
        raise SerializationError(what, f"the stored text is not JSON: {error}", _READABLE) from None
    except RecursionError:
        raise _too_deep(what) from None


def _lifted(wire: Any, plan: Plan, what: str) -> Any:
    try:
        return plan.lift(wire)
    except Misfit as misfit:
        raise SerializationError(_path(what, misfit.steps), misfit.reason, _READABLE) from None
    except RecursionError:
        raise _too_deep(what) from None


def _unpickled(text: str, what: str) -> Any:
    try:
        return pickle.loads(base64.b64decode(text, validate=True))
    except Exception as error:
        # A pickle runs the constructors of whatever it holds.
        raise SerializationError(what, f"the pickle cannot be read: {error}", _READABLE) from error


def _same_pickled(ours: BaseException, theirs: Any) -> bool:
    # An argument that knows no equality is the same when it pickles to the same bytes.
    if type(theirs) is not type(ours) or not isinstance(theirs, Exception):
        return False
    return alike(ours, theirs) or pickle.dumps(ours.args) == pickle.dumps(theirs.args)


def _is_deep(data: bytes, wire: Any) -> bool:
    # Text with few brackets cannot nest deeply; that spares nearly every value the walk.
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return False
    level = [wire]
    for _ in range(DEPTH_MAX):
        below = (part for node in level for part in (node.values() if type(node) is dict else node))
        level = [part for part in below if type(part) in _NESTS]
        if not level:
            return False
    return True


def _path(what: str, steps: list[Any]) -> str:
    inside = render(steps)
    return what + inside if not inside or what.isidentifier() else f"{what}, at {inside.removeprefix('.')}"


def _argument(name: str, shape: Shape) -> str:
    return f"argument {name!r} of {shape.name}"


def _too_large(what: str, size: int, size_max: int) -> SerializationError:
    reason = f"it takes {size} bytes, more than value_bytes_max={size_max}"
    return SerializationError(what, reason, "store it elsewhere and pass its address, or raise the limit")


def _too_deep(what: str) -> SerializationError:
    reason = f"it nests deeper than {DEPTH_MAX} levels, or holds itself"
    return SerializationError(what, reason, 'flatten it, or choose serializer="pickle"')


def _unwritable(value: Any, plan: Plan, what: str, error: Exception) -> SerializationError:
    steps: list[Any] = []
    found = True
    while found:
        found = False
        for step, part in _parts(value):
            try:
                _encode(part)
            except Exception as problem:  # noqa: BLE001 - looked for is the innermost part that cannot be written.
                steps.append(step)
                value, error, found = part, problem, True
                break
    named = "a dict with such keys" if isinstance(value, dict) else describe(value)
    # An annotation helps where JSON loses a type, not where it has none.
    remedy = _remedy(plan, value) if isinstance(value, str | float) else _MADE_OF
    return SerializationError(_path(what, steps), f"{named} cannot be written as JSON: {error}", remedy)


def _misfit(value: Any, plan: Plan, what: str, misfit: Misfit) -> SerializationError:
    """Tell of the value as its owner knows it; the plan saw what became of it in JSON."""
    reason = misfit.reason
    try:
        for step in misfit.steps:
            value = getattr(value, step) if isinstance(step, Attribute) else value[step]
        reason = f"{misfit.wanted} wanted, {describe(value)} given" if misfit.wanted else reason
    except (AttributeError, LookupError, TypeError):
        value = None
    return SerializationError(_path(what, misfit.steps), reason, _remedy(plan, value))


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    names = getattr(value, "__dataclass_fields__", None) or getattr(value, "__struct_fields__", None)
    if names and not isinstance(value, type):
        return [(Attribute(name), getattr(value, name)) for name in names if hasattr(value, name)]
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _remedy(plan: Plan, value: Any) -> str:
    if type(value) is float and not math.isfinite(value):
        return _FINITE
    return _ANNOTATE if plan is PLAIN else _CONFORM


_NESTS = (dict, list)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_ENCODER = msgspec.json.Encoder(enc_hook=_form)
_DECODER = msgspec.json.Decoder()
_PLANNER = Planner(_convert)
_ENVELOPES = Envelopes(lambda document: _decode(_encode(document)), _convert)
_NULL = Encoded("null", PORTABLE_JSON)
