"""Pickle is an explicit choice, for writing and for reading."""

from __future__ import annotations

import base64
import pickle
import threading
from typing import Any

import pytest

from durust.codec import PICKLE, PORTABLE_JSON, Codec, Encoded, Shape
from durust.errors import RemoteError, SerializationError

CODEC = Codec("pickle")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


class Fragile:
    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


class OutOfStock(Exception):
    def __init__(self, sku: str, count: int) -> None:
        super().__init__(f"only {count} of {sku}")
        self.sku, self.count = sku, count


class Opaque(Exception):
    pass


def packed(value: object) -> str:
    """Return *value* as a pickle in a row."""
    return base64.b64encode(pickle.dumps(value)).decode()


@pytest.mark.parametrize("value", [None, 5, float("inf"), "\ud800\0", (1, {2}), {1: 1j}, [OutOfStock]])
def test_any_value_comes_back(value: object) -> None:
    encoded, settled = CODEC.settle(value, int)

    assert encoded == Encoded(packed(value), PICKLE)
    assert settled == value == CODEC.load(*encoded)


def test_what_plain_pickle_cannot_write_is_written_by_value() -> None:
    encoded, settled = CODEC.settle(lambda number: number + 1)

    assert settled(1) == CODEC.load(*encoded)(1) == 2


def test_what_is_settled_is_a_copy() -> None:
    value = {"a": [1]}

    _, settled = CODEC.settle(value)
    settled["a"].append(2)

    assert value == {"a": [1]}


def test_what_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(SerializationError, match="result: a lock cannot be pickled"):
        CODEC.dump(threading.Lock(), what="result")


def test_what_does_not_come_out_of_its_pickle_is_refused() -> None:
    with pytest.raises(SerializationError, match="result: the pickle cannot be read"):
        CODEC.dump(Fragile(), what="result")


def test_a_pickle_past_the_limit_is_refused() -> None:
    with pytest.raises(SerializationError, match="more than value_bytes_max=50"):
        Codec("pickle", 50).dump("x" * 50)


def test_no_pickle_is_loaded_without_the_choice() -> None:
    shape = Shape.of(lambda: None, skip_first=False)
    trap = packed(Bomb())
    codec = Codec()

    with pytest.raises(SerializationError, match=r'stored as py_pickle.*; choose serializer="pickle"'):
        codec.load(trap, PICKLE)
    with pytest.raises(SerializationError, match=r'stored as py_pickle.*; choose serializer="pickle"'):
        codec.load_arguments(trap, PICKLE, shape)

    assert isinstance(codec.load_error(trap, PICKLE), SerializationError)


@pytest.mark.covers(179)
@pytest.mark.parametrize("serialization", [PORTABLE_JSON, None, ""])
def test_portable_rows_are_read_as_json_whatever_the_choice(serialization: str | None) -> None:
    assert CODEC.load("[1]", serialization, list[int]) == [1]
    with pytest.raises(SerializationError, match="not JSON"):
        CODEC.load(packed(1), serialization)


@pytest.mark.parametrize("text", ["", "%%%", "AAAA", base64.b64encode(b"cnowhere\nnothing\n.").decode()])
def test_a_broken_pickle_is_refused(text: str) -> None:
    with pytest.raises(SerializationError, match="the pickle cannot be read"):
        CODEC.load(text, PICKLE)


def test_a_pickle_without_arguments_is_refused() -> None:
    with pytest.raises(SerializationError, match="holds no args and kwargs"):
        CODEC.load_arguments(packed([1]), PICKLE, Shape.of(lambda: None, skip_first=False))


def test_an_error_is_pickled_as_it_is() -> None:
    encoded = CODEC.dump_error(KeyError("a", {1}))

    assert encoded.serialization == PICKLE
    assert CODEC.load_error(*encoded).args == ("a", {1})


def test_an_error_that_does_not_come_out_of_its_pickle_is_rebuilt_from_its_envelope() -> None:
    encoded = CODEC.dump_error(OutOfStock("a", 3))

    error = CODEC.load_error(*encoded)

    assert isinstance(error, OutOfStock)
    assert (error.args, error.sku, error.count) == (("only 3 of a",), "a", 3)


@pytest.mark.covers(9)
def test_an_error_that_cannot_be_pickled_has_a_readable_substitute() -> None:
    error = CODEC.load_error(*CODEC.dump_error(Opaque(threading.Lock())))

    assert isinstance(error, RemoteError)
    assert error.name == "Opaque"
    assert "lock" in error.message


def test_an_error_whose_argument_knows_no_equality_is_pickled_as_it_is() -> None:
    error = CODEC.load_error(*CODEC.dump_error(Opaque(object())))

    assert type(error) is Opaque


def test_a_recorded_exit_comes_back_as_an_error() -> None:
    error = CODEC.load_error(*CODEC.dump_error(KeyboardInterrupt("stop")))

    assert isinstance(error, RemoteError)
    assert (error.name, error.message) == ("KeyboardInterrupt", "stop")


def test_a_pickle_that_holds_no_error_is_answered_as_one() -> None:
    assert isinstance(CODEC.load_error(packed(5), PICKLE), RemoteError)
    assert isinstance(CODEC.load_error("%%%", PICKLE), SerializationError)
