"""What cannot read back as the same is refused, with its place and the remedy."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from durust.codec import PORTABLE_JSON, UNTYPED, Codec, Encoded
from durust.errors import InvalidArgument, SerializationError
from tests.unit.codec_samples import (
    NOON,
    Box,
    Cat,
    Colour,
    Dog,
    Fox,
    Gift,
    Line,
    Model,
    Node,
    Patch,
    Point,
    Priority,
    Reading,
    Shade,
    Shouting,
    Sum,
    Text,
)

CODEC = Codec()


def nested(depth: int, inner: object = None) -> object:
    """Return a list in a list in a list."""
    for _ in range(depth):
        inner = [inner]
    return inner


def refusal(value: object, annotation: Any = UNTYPED, what: str = "result") -> SerializationError:
    """Return the error that refuses *value*."""
    with pytest.raises(SerializationError) as caught:
        CODEC.dump(value, annotation, what=what)
    return caught.value


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ([0, 1, (1, 2)], "result[2]", "a tuple would read back as a list"),
        ({"a": {1}}, "result['a']", "a set would read back as a list"),
        ({"a": [{"price": Decimal(1)}]}, "result['a'][0]['price']", "a Decimal would read back as a str"),
        (NOON, "result", "a datetime would read back as a str"),
        (b"x", "result", "a bytes would read back as a str"),
        ({1: 2}, "result", "the key 1 would read back as '1'"),
        (Cat("x"), "result", "a Cat would read back as a dict"),
        (Model(date(2020, 1, 1)), "result", "a Model would read back as a dict"),
        (Colour.RED, "result", "a Colour would read back as a str"),
        (Text("x"), "result", "a Text cannot be written as JSON"),
        (collections.OrderedDict(a=1), "result", "an OrderedDict would read back as a dict"),
    ],
)
def test_what_no_annotation_rebuilds_is_refused(value: object, place: str, reason: str) -> None:
    error = refusal(value)

    assert error.path == place
    assert error.reason.startswith(reason)
    assert error.remedy == 'annotate it (parameter, return type, field), pass `type=`, or choose serializer="pickle"'


@pytest.mark.parametrize(
    ("value", "annotation", "place", "reason"),
    [
        ({None: 2}, UNTYPED, "result", "a dict with such keys cannot be written as JSON"),
        ({(1, 2): 2}, UNTYPED, "result", "a dict with such keys cannot be written as JSON"),
        ([Cat, 1], UNTYPED, "result[0]", "a type cannot be written as JSON"),
        ({"a": [object()]}, UNTYPED, "result['a'][0]", "an object cannot be written as JSON"),
        ([Box(Box(lambda: 1))], UNTYPED, "result[0].content.content", "a function cannot be written as JSON"),
        (1j, UNTYPED, "result", "a complex cannot be written as JSON"),
        (1j, complex, "result", "a complex cannot be written as JSON"),
        (Fraction(1, 2), Fraction, "result", "a Fraction cannot be written as JSON"),
        (Box(Fraction(1, 2)), Box[Fraction], "result.content", "a Fraction cannot be written as JSON"),
    ],
)
def test_where_an_annotation_does_not_help_none_is_asked_for(
    value: object, annotation: Any, place: str, reason: str
) -> None:
    error = refusal(value, annotation)

    assert error.path == place
    assert error.reason.startswith(reason)
    assert error.remedy.startswith("make it of dataclasses, texts, numbers, lists and dicts with text keys, or choose")


@pytest.mark.parametrize(
    ("value", "annotation", "place", "reason"),
    [
        (Gift("a", Decimal(1)), Line, "result", "a Gift would read back as a Line"),
        ([Line("a", Decimal(1)), Gift("a", Decimal(1))], list[Line], "result[1]", "a Gift would read back as a Line"),
        (None, Line, "result", "Line wanted, None given"),
        (Line("a", 1.5), Line, "result.price", "a float would read back as a Decimal"),  # type: ignore[arg-type]
        (Box(Line("a", (1,))), Box[Line], "result.content.price", "Decimal wanted, a tuple given"),  # type: ignore[arg-type]
        (Point(1), tuple[int, date], "result", "a Point would read back as a tuple"),
        ((1, date(2020, 1, 1)), Point, "result", "a tuple would read back as a Point"),
        ((1, 2, 3), tuple[int, int], "result", "tuple of 2 wanted, a tuple given"),
        ((1,), Sequence[int], "result", "a tuple would read back as a list"),
        ({1}, list[int], "result", "a set would read back as a list"),
        ({1}, frozenset[int], "result", "a set would read back as a frozenset"),
        ({True}, set[Literal[1]], "result[0]", "one of 1 wanted"),
        (collections.OrderedDict(a=1), dict, "result", "an OrderedDict would read back as a dict"),
        (Text("x"), str, "result", "a Text cannot be written as JSON"),
        (Shade.DARK, str, "result", "a Shade would read back as a str"),
        ("dark", Shade, "result", "a str would read back as a Shade"),
        (Priority.LOW, int, "result", "a Priority would read back as an int"),
        (1, Priority, "result", "an int would read back as a Priority"),
        (True, float, "result", "float wanted, a bool given"),
        (1.0, int, "result", "int wanted, a float given"),
        ("5", int, "result", "int wanted, a str given"),
        (True, Literal[1], "result", "one of 1 wanted, a bool given"),
        (NOON, date, "result", "date as text wanted, a datetime given"),
        ("2020-01-01", date, "result", "a str would read back as a date"),
        (bytearray(b"x"), bytes, "result", "a bytearray would read back as a bytes"),
        ({"note": "x"}, Patch, "result", "Patch needs the key 'day'"),
        ({"day": 5}, Patch, "result['day']", "date wanted, an int given"),
        ({"1": "x"}, dict[int, str], "result", "the key '1' would read back as 1"),
        ({"a": {"b": NOON}}, dict[str, Any], "result['a']['b']", "a datetime would read back as a str"),
        (Shouting("a"), Shouting, "result.word", "a str would read back with another value"),
        (Reading(NOON, b"", 1), Reading, "result.level", "an int would read back as a float"),
        (datetime(1800, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), datetime, "result", "a datetime would read back with"),
        ("\ud83d\ude00", str, "result", "a str would read back with another value"),
        (5, Cat | Dog, "result", "Cat | Dog wanted, an int given"),
    ],
)
def test_what_does_not_conform_to_its_annotation_is_refused(
    value: object, annotation: Any, place: str, reason: str
) -> None:
    error = refusal(value, annotation)

    assert error.path == place
    assert error.reason.startswith(reason)
    assert error.remedy == 'make the value fit its annotation, widen the annotation, or choose serializer="pickle"'


@pytest.mark.parametrize("annotation", [UNTYPED, float])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value: float, annotation: Any) -> None:
    error = refusal(value, annotation)

    assert repr(value) in error.reason
    assert error.remedy.startswith("JSON has finite numbers only")


def test_arms_of_a_union_that_look_alike_in_json_are_refused() -> None:
    assert CODEC.settle(Cat("x"), Fox | Cat)[1] == Cat("x")

    error = refusal(Fox("x"), Cat | Fox)

    assert error.reason == "a Fox would read back as a Cat"


def test_a_text_that_looks_like_another_arm_is_refused() -> None:
    error = refusal("2020-01-01", date | str)

    assert error.reason == "a str would read back as a date"


def test_a_value_is_named_by_what_it_is_for() -> None:
    assert refusal((1,), what="result of step 'charge'").path == "result of step 'charge'"
    assert refusal([(1,)], what="result of step 'charge'").path == "result of step 'charge', at [0]"
    assert refusal(Box((1,)), Box[list[int]], what="the event").path == "the event, at content"


def test_an_attribute_that_is_no_field_is_refused() -> None:
    tampered = Sum([1])
    tampered.more = 1  # type: ignore[attr-defined]

    assert refusal(tampered, Sum).reason == "the attribute 'more' is no field and would be lost"


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert "nests deeper" in refusal(circle).reason


def test_a_value_may_nest_two_hundred_levels_and_no_more() -> None:
    assert CODEC.settle(nested(200))[1] == nested(200)

    for depth in (201, 100_000):
        assert "nests deeper than 200 levels" in refusal(nested(depth)).reason


def test_text_that_nests_too_deep_is_refused() -> None:
    with pytest.raises(SerializationError, match="nests deeper"):
        CODEC.load("[" * 100_000, PORTABLE_JSON)


def test_a_value_past_the_limit_is_refused() -> None:
    small = Codec(value_bytes_max=10)

    assert small.dump("é" * 4) == Encoded('"éééé"', PORTABLE_JSON)
    for value in ("é" * 5, ["a" * 10]):
        with pytest.raises(SerializationError, match="more than value_bytes_max=10"):
            small.dump(value)


def test_an_integer_with_more_digits_than_python_reads_is_refused() -> None:
    assert "4300 digits" in refusal(10**5000).reason
    assert "4300 digits" in refusal([10**5000], list[int]).reason


@pytest.mark.parametrize("text", ["", "{", "nope", "1 2", '{"a":NaN}', '["\\ud800", NaN]', "1e999"])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(SerializationError, match="the stored text is not JSON"):
        CODEC.load(text, PORTABLE_JSON)


@pytest.mark.parametrize("serialization", ["DBOS_JSON", "DBOS_GOB", "java_jackson"])
def test_an_unknown_format_is_refused_by_name(serialization: str) -> None:
    with pytest.raises(SerializationError, match=f"stored in the format '{serialization}'"):
        CODEC.load("1", serialization)


def test_stored_text_that_does_not_fit_names_the_place() -> None:
    with pytest.raises(SerializationError) as caught:
        CODEC.load('{"value":1,"children":[{"value":"x"}]}', PORTABLE_JSON, Node, what="result")

    assert (caught.value.path, caught.value.reason) == ("result.children[0].value", "int wanted, a str found")


def test_a_codec_refuses_settings_that_cannot_be_meant() -> None:
    with pytest.raises(InvalidArgument, match="serializer='yaml'"):
        Codec("yaml")
    with pytest.raises(InvalidArgument, match="value_bytes_max=0"):
        Codec(value_bytes_max=0)
