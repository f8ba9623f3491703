"""An error comes back with its type and arguments, or as something that says what it was."""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import subprocess
import sys
import threading
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from durust import errors
from durust.codec import PORTABLE_JSON, Codec
from durust.errors import RemoteError, SerializationError, StepRetriesExhausted

CODEC = Codec()


class OutOfStock(Exception):
    """Hands another argument on than it takes."""

    def __init__(self, sku: str, count: int) -> None:
        super().__init__(f"only {count} of {sku}")
        self.sku, self.count = sku, count


class Prefixed(Exception):
    """Would prefix its message once more when it is made from its arguments."""

    def __init__(self, message: str) -> None:
        super().__init__(f"shop: {message}")


class Forgetful(Exception):
    """Does not call the constructor above it."""

    def __init__(self, sku: str, count: int) -> None:
        self.sku, self.count = sku, count


class Named(Exception):
    def __init__(self, *, sku: str) -> None:
        super().__init__(sku)
        self.sku = sku


class Reduced(Exception):
    def __init__(self, sku: str, count: int) -> None:
        super().__init__("sold out")
        self.key = (sku, count)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.key


class Answered(Exception):
    def __init__(self, message: str, answer: object = None) -> None:
        super().__init__(message)
        self.answer = answer


class Refusal(Exception):
    """Makes its message from what it takes, and something of its own that is made anew as well."""

    def __init__(self, response: object) -> None:
        super().__init__("refused")
        self.response, self.log = response, Log()


class Log(list[str]):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Hollow(Exception):
    def __bool__(self) -> bool:
        return False


class Guarded(Exception):
    @property
    def code(self) -> int:
        raise RuntimeError("not for you")


class Reason(Enum):
    DECLINED = 1


class Holder:
    class Inner(Exception):
        """An error inside a class."""


def through(error: BaseException) -> Exception:
    """Send *error* through its record."""
    encoded = CODEC.dump_error(error)
    assert encoded.serialization == PORTABLE_JSON
    return CODEC.load_error(*encoded)


def raised(action: Any, *args: Any) -> Exception:
    """Return what *action* raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        action(*args)
    return caught.value


def fields(error: Exception) -> tuple[str, str, int | str | None, Any]:
    """Return what a `RemoteError` says."""
    assert type(error) is RemoteError
    return error.name, error.message, error.code, error.data


@pytest.mark.covers(181)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1),
        ValueError(),
        ValueError("a\0\ud800b"),
        ValueError({"a": [1, None, 1.5]}, ("x", {1}, frozenset({2})), b"\xff", float("nan"), {1: 2, "$x": 3}),
        ValueError({"$tuple": [1]}, {"$": 1}),
        ValueError(Reason.DECLINED, Reason),
        KeyError("a"),
        KeyError(("a", 1)),
        StopIteration(5),
        OSError(errno.ENOENT, "gone", "file"),
        raised(open, "/nowhere/at/all"),
        raised(b"\xff".decode),
        raised("\ud800".encode),
        raised(__import__, "no_such_module"),
        raised(getattr, [], "x"),
        raised(compile, "1+", "f", "eval"),
        raised(json.loads, "{"),
        raised(Decimal, "x"),
        subprocess.CalledProcessError(3, ["ls"], b"out"),
        OutOfStock("a", 3),
        Prefixed("closed"),
        Forgetful("a", 3),
        Named(sku="a"),
        Reduced("a", 3),
        Answered("m", {"a": 1}),
        Hollow("x"),
        Guarded("x"),
        Holder.Inner("x"),
        ExceptionGroup("g", [ValueError("x"), ExceptionGroup("h", [OutOfStock("a", 1)])]),
        StepRetriesExhausted("charge", 2, (ValueError("x"), OutOfStock("a", 1))),
        SerializationError("path", "reason", "remedy"),
        RemoteError("Boom", "m", 5, {"a": [1]}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_with_its_type_arguments_and_message(error: Exception) -> None:
    back = through(error)

    assert type(back) is type(error)
    assert (repr(back), str(back)) == (repr(error), str(error))
    assert vars(back).keys() == vars(error).keys()


@pytest.mark.parametrize("name", [name for name in dir(errors) if isinstance(getattr(errors, name), type)])
def test_each_of_our_own_errors_comes_back(name: str) -> None:
    cls = getattr(errors, name)
    count = cls.__init__.__code__.co_argcount - 1 if "__init__" in vars(cls) else 1
    if not issubclass(cls, errors.DurustError) or cls is StepRetriesExhausted:
        return
    error = cls(*[f"argument {number}" for number in range(count)])

    back = through(error)

    assert (type(back), back.args, vars(back), str(back)) == (cls, error.args, vars(error), str(error))


def test_an_error_keeps_its_attributes_and_notes() -> None:
    error = OutOfStock("a", 3)
    error.order_id = 7  # type: ignore[attr-defined]
    error.add_note("while packing")

    back = through(error)

    assert vars(back) == {"sku": "a", "count": 3, "order_id": 7, "__notes__": ["while packing"]}


def test_an_attribute_that_cannot_be_carried_is_as_the_constructor_left_it() -> None:
    back = through(Answered("m", threading.Lock()))

    assert isinstance(back, Answered)
    assert (back.args, back.answer) == (("m",), None)


def test_the_first_to_see_an_error_sees_it_as_it_reads_back() -> None:
    whole, lossy = OutOfStock("a", 3), Answered("m", threading.Lock())

    seen, less = (CODEC.settle_error(error)[1] for error in (whole, lossy))

    assert seen is whole
    assert isinstance(less, Answered)
    assert (less.args, less.answer, less.__cause__) == (("m",), None, lossy)


def test_no_attribute_holds_the_message_in_place_of_what_could_not_be_carried() -> None:
    back = through(Refusal(threading.Lock()))

    assert isinstance(back, Refusal)
    assert (str(back), hasattr(back, "response"), back.log) == ("refused", False, [])


def test_arguments_that_cannot_be_carried_make_it_a_remote_error() -> None:
    error = Answered("x")
    error.args = (threading.Lock(), "x")
    error.add_note("noted")

    back = through(error)

    name, message, code, data = fields(back)
    assert (name, message, code, data) == ("Answered", str(error), None, None)
    assert back.__notes__ == ["noted"]


@pytest.mark.parametrize("error", [KeyboardInterrupt("x"), SystemExit("x"), asyncio.CancelledError("x")])
def test_what_is_no_exception_is_not_rebuilt(error: BaseException) -> None:
    name, message, _, _ = fields(through(error))

    assert (name, message) == (type(error).__name__, "x")


def test_a_local_class_is_not_rebuilt() -> None:
    class Local(Exception):
        pass

    assert fields(through(Local("x"))) == ("Local", "x", None, None)


def test_an_error_without_words_is_carried_as_far_as_it_goes() -> None:
    assert fields(through(Mute("x"))) == ("Mute", "(its __str__ raises RuntimeError)", None, None)


def test_a_nested_error_that_cannot_be_carried_does_not_take_the_others_along() -> None:
    odd = ValueError(threading.Lock())

    back = through(StepRetriesExhausted("charge", 2, (odd, OutOfStock("a", 1))))

    assert isinstance(back, StepRetriesExhausted)
    assert (back.name, back.attempts) == ("charge", 2)
    assert [type(error) for error in back.errors] == [RemoteError, OutOfStock]
    assert str(back.errors[0]) == f"ValueError: {odd}"


def test_errors_nest_only_so_deep_and_may_hold_themselves() -> None:
    circle = ValueError("a")
    circle.args = (1, circle)
    chain = ValueError("innermost")
    for _ in range(50):
        chain = ValueError(chain)

    assert isinstance(through(circle), ValueError | RemoteError)
    back: Any = through(chain)
    for _ in range(8):
        assert type(back) is ValueError
        back = back.args[0]
    assert fields(back)[:2] == ("ValueError", "innermost")


@pytest.mark.covers(181)
def test_code_and_data_are_lifted_from_the_attributes_that_usually_hold_them() -> None:
    class Refused(Exception):
        status_code = 404
        details = {"why": ("gone",)}  # noqa: RUF012

    class Numbered(Exception):
        code = True
        errno = 5
        payload = object()

    assert fields(through(Refused("x"))) == ("Refused", "x", 404, {"why": ["gone"]})
    assert fields(through(Numbered("x"))) == ("Numbered", "x", None, None)


@pytest.mark.covers(181)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"message":"m","name":"N","code":"c","data":[1]}', ("N", "m", "c", [1])),
        ('{"message":"m","name":"N","code":7}', ("N", "m", 7, None)),
        ('{"message":"m","code":true,"name":5}', ("Portable Error", "m", None, None)),
        ('{"message":null}', ("Portable Error", "", None, None)),
        ('{"message":["x"]}', ("Portable Error", "['x']", None, None)),
        ("it broke", ("Portable Error", "it broke", None, None)),
        ('"it broke"', ("Portable Error", "it broke", None, None)),
        ('{"a":1}', ("Portable Error", '{"a":1}', None, None)),
        ("[1", ("Portable Error", "[1", None, None)),
        ("", ("Portable Error", "", None, None)),
        (None, ("Portable Error", "", None, None)),
        ("[" * 100_000, ("Portable Error", "[" * 100_000, None, None)),
    ],
)
def test_envelopes_of_others_and_bare_messages_are_read(text: str | None, expected: tuple[Any, ...]) -> None:
    for serialization in (PORTABLE_JSON, None, ""):
        assert fields(CODEC.load_error(text, serialization)) == expected


@pytest.mark.parametrize(
    "more",
    [
        5,
        {},
        {"args": []},
        {"type": "builtins:ValueError"},
        {"type": 5, "args": []},
        {"type": "builtins", "args": []},
        {"type": "builtins:", "args": []},
        {"type": "builtins:len", "args": [[]]},
        {"type": "builtins:int", "args": [1]},
        {"type": "builtins:KeyboardInterrupt", "args": []},
        {"type": "builtins:Nope", "args": []},
        {"type": "os:system", "args": ["true"]},
        {"type": "builtins:ValueError.mro", "args": []},
        {"type": "builtins:ValueError", "args": 5},
        {"type": "builtins:ValueError", "args": [{"$nope": 1}]},
        {"type": "builtins:ValueError", "args": [{"$error": 3}]},
        {"type": "builtins:ValueError", "args": [{"$datetime": "x"}]},
        {"type": "builtins:ValueError", "args": [{"$enum": ["builtins:int", "real"]}]},
        {"type": "builtins:ValueError", "args": [{"$enum": ["builtins:nope", "x"]}]},
        {"type": "builtins:ValueError", "args": [{"$class": "builtins:len"}]},
        {"type": "builtins:ValueError", "args": [], "state": 5},
        {"type": "builtins:ValueError", "args": [], "state": {"__class__": "x"}},
        {"type": "builtins:ValueError", "args": [1], "state": {"args": [2]}},
        {"type": "builtins:ValueError", "args": [], "errors": [5]},
        {"type": "builtins:UnicodeDecodeError", "args": ["x"]},
    ],
)
def test_an_envelope_that_does_not_add_up_is_a_remote_error(more: Any) -> None:
    text = json.dumps({"name": "N", "message": "m", "code": None, "data": None, "durust": more})

    assert fields(CODEC.load_error(text, PORTABLE_JSON))[:2] == ("N", "m")


def test_nothing_is_imported_by_a_name_read_from_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "lazy_package", Lazy("lazy_package"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)

    for name in ("colorsys:Nope", "lazy_package:Gone"):
        text = json.dumps({"name": "N", "message": "m", "durust": {"type": name, "args": []}})
        assert fields(CODEC.load_error(text, PORTABLE_JSON))[:2] == ("N", "m")

    assert "colorsys" not in sys.modules


SCRIPT = """
from durust.codec import Codec

class Refused(Exception):
    pass

if __name__ == "__main__":
    import sys
    encoded = Codec().dump_error(Refused("x"))
    assert type(Codec().load_error(*encoded)) is Refused
    sys.stdout.write(encoded.text)
"""


def test_an_error_of_a_script_comes_back_where_the_script_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "shop_script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
    )
    monkeypatch.syspath_prepend(tmp_path)
    shop = importlib.import_module("shop_script")

    back = CODEC.load_error(run.stdout, PORTABLE_JSON)

    assert type(back) is shop.Refused


def test_an_error_in_an_unknown_format_says_so() -> None:
    back = CODEC.load_error("abc", "DBOS_GOB")

    assert isinstance(back, SerializationError)
    assert "'DBOS_GOB'" in str(back)


def test_an_error_past_the_limit_is_shortened() -> None:
    encoded = Codec(value_bytes_max=5000).dump_error(ValueError("x" * 10_000))

    assert fields(CODEC.load_error(*encoded)) == ("ValueError", "x" * 2000, None, None)
