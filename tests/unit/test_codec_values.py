"""A value reads back as the same, to the type and the last digit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pytest

from durust.codec import PICKLE, PORTABLE_JSON, Codec, Encoded
from durust.errors import SerializationError
from tests.unit.codec_samples import (
    INDIA,
    NOON,
    ORDER,
    Access,
    Box,
    Boxes,
    Cat,
    Cents,
    Colour,
    DateBox,
    Dog,
    Model,
    Node,
    Order,
    Patch,
    Point,
    Priority,
    Reading,
    Shade,
    Start,
    Stop,
    Sum,
)

CODEC = Codec()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-7, "-7"),
        (10**400, "1" + "0" * 400),
        (1.5, "1.5"),
        (-0.0, "-0.0"),
        ("é\u2028", '"é\u2028"'),
        ([], "[]"),
        ({"b": [1, 1.0, True, None], "a": {}}, '{"b":[1,1.0,true,null],"a":{}}'),
        ("a\0b", '"a\\u0000b"'),
        ("a\ud800é", '"a\\ud800é"'),
        ({"\udfff": ["\ud800", 1.0]}, '{"\\udfff":["\\ud800",1.0]}'),
    ],
)
def test_plain_json_needs_no_annotation(value: object, text: str) -> None:
    encoded, settled = CODEC.settle(value)

    assert encoded == Encoded(text, PORTABLE_JSON)
    assert repr(settled) == repr(value) == repr(CODEC.load(text, PORTABLE_JSON))


@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        (ORDER, Order, None),
        ([ORDER], list[Order], None),
        ({"x": ORDER}, Mapping[str, Order | None], None),
        (None, Order | None, "null"),
        (5, int | Decimal, "5"),
        (Decimal(5), int | Decimal, '"5"'),
        (2.5, Decimal | float | None, "2.5"),
        ({"x": 5}, dict[str, Decimal | int], None),
        (Node(1, Node(2), [Node(3)]), Node, None),
        (Box(date(2020, 1, 1)), Box[date], '{"content":"2020-01-01"}'),
        (Boxes([date(2020, 1, 1)], date(2020, 1, 2)), Boxes[date], None),
        (DateBox(date(2020, 1, 1)), DateBox, None),
        (Box([1]), Box, None),
        (Sum([1, 2]), Sum, '{"parts":[1,2],"total":3}'),
        (Point(1), Point, '[1,"2020-01-01"]'),
        ({"day": date(2020, 1, 1)}, Patch, None),
        ({"day": date(2020, 1, 1), "note": "x", "more": 1}, Patch, None),
        (NOON, datetime, '"2026-03-01T12:00:00.123456+05:30"'),
        (NOON.astimezone(UTC), datetime, '"2026-03-01T06:30:00.123456Z"'),
        (NOON.replace(tzinfo=None), datetime, '"2026-03-01T12:00:00.123456"'),
        (date(1, 1, 1), date, '"0001-01-01"'),
        (time(1, 2, 3, 4, INDIA), time, '"01:02:03.000004+05:30"'),
        (timedelta(days=-1, microseconds=1), timedelta, '"-PT86399.999999S"'),
        (uuid.UUID(int=1), uuid.UUID, '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.50"), Decimal, '"1.50"'),
        (Decimal("-0E+9"), Decimal, '"-0E+9"'),
        (Colour.RED, Colour, '"red"'),
        (Colour.PAIR, Colour, "[1,2.0]"),
        (Priority.LOW, Priority, "1"),
        (Shade.DARK, Shade, '"dark"'),
        (Access.READ | Access.WRITE, Access, "3"),
        ((1, date(2020, 1, 1)), tuple[int, date], '[1,"2020-01-01"]'),
        ((1, 2, 3), tuple[int, ...], "[1,2,3]"),
        (([1], "a"), tuple, '[[1],"a"]'),
        ((), tuple[()], "[]"),
        ({1}, set[int], "[1]"),
        (frozenset({date(2020, 1, 1)}), frozenset[date], '["2020-01-01"]'),
        ([1], Sequence[int], "[1]"),
        (b"\xff\0", bytes, '"/wA="'),
        (bytearray(b"x"), bytearray, '"eA=="'),
        (Path("a/b"), Path, '"a/b"'),
        ({1: "x", 2: "y"}, dict[int, str], '{"1":"x","2":"y"}'),
        ({1.5: "x"}, dict[float, str], '{"1.5":"x"}'),
        ({Colour.RED: 1}, dict[Colour, int], '{"red":1}'),
        ({Priority.LOW: 1}, dict[Priority, int], '{"1":1}'),
        ({uuid.UUID(int=1): date(2020, 1, 1)}, dict[uuid.UUID, date], None),
        (Reading(NOON, b"\xff"), Reading, None),
        (Model(date(2020, 1, 1)), Model, '{"day":"2020-01-01"}'),
        (1, float, "1"),
        (True, int, "true"),
        ("dark", Literal["dark", 1], '"dark"'),
        (Colour.RED, Literal[Colour.RED], '"red"'),
        (5, Cents, "5"),
        (5, Annotated[int, []], "5"),
        (NOON, Annotated[datetime | None, "when"], None),
        ({"a": [1]}, Any, '{"a":[1]}'),
        (5, object, "5"),
    ],
)
def test_an_annotation_rebuilds_what_json_cannot_carry(value: Any, annotation: Any, text: str | None) -> None:
    encoded, settled = CODEC.settle(value, annotation)

    assert encoded.serialization == PORTABLE_JSON
    assert text in (None, encoded.text)
    for back in (settled, CODEC.load(*encoded, annotation)):
        assert back == value
        assert type(back) is type(value)
        assert repr(back) == repr(value)


def test_what_is_settled_shares_nothing_with_the_value() -> None:
    inner = [1]

    _, settled = CODEC.settle({"a": inner, "b": inner})
    settled["a"].append(2)

    assert settled == {"a": [1, 2], "b": [1]}
    assert inner == [1]


def test_a_zone_reads_back_as_its_offset() -> None:
    berlin = datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))

    _, settled = CODEC.settle(berlin, datetime)

    assert (settled, settled.utcoffset()) == (berlin, timedelta(hours=2))


@pytest.mark.parametrize(
    "value", [Cat("x"), Dog("x"), Dog("x", loud=False), [Cat("x"), Dog("y")], None, "x", {"a": 1}, 5, NOON]
)
def test_a_union_rebuilds_each_of_its_arms(value: object) -> None:
    union = None | str | dict[str, Any] | Cat | Dog | int | datetime | list[Cat | Dog]

    encoded, settled = CODEC.settle(value, union)

    assert repr(settled) == repr(value) == repr(CODEC.load(*encoded, union))


def test_tagged_structs_are_told_apart_in_a_union() -> None:
    _, settled = CODEC.settle([Start(NOON), Stop(NOON)], list[Start | Stop])

    assert settled == [Start(NOON), Stop(NOON)]


def test_a_cached_property_does_not_count_as_state() -> None:
    asked = Sum([1, 3])
    assert asked.mean == 2

    _, settled = CODEC.settle(asked, Sum)

    assert settled == asked


def test_a_typed_value_of_the_deepest_kind_reads_back_from_a_deep_stack() -> None:
    chain = None
    # The list of children is one level more.
    for value in range(199):
        chain = Node(value, chain)
    encoded = CODEC.dump(chain, Node)

    def deep(frames: int) -> Any:
        return deep(frames - 1) if frames else CODEC.load(*encoded, Node)

    assert CODEC.dump(deep(300), Node) == encoded


def test_many_brackets_in_a_text_are_not_depth() -> None:
    assert CODEC.settle(["[" * 1000, [[]] * 1000])[1] == ["[" * 1000, [[]] * 1000]


@pytest.mark.parametrize("serialization", [None, "", PORTABLE_JSON])
def test_a_row_without_a_format_is_read_as_portable_json(serialization: str | None) -> None:
    assert CODEC.load('{"a":"2020-01-01"}', serialization, dict[str, date]) == {"a": date(2020, 1, 1)}


def test_a_missing_text_is_none() -> None:
    assert CODEC.load(None, PORTABLE_JSON, Order) is None


def test_fields_that_stored_text_lacks_take_their_defaults_and_unknown_ones_are_ignored() -> None:
    assert CODEC.load('{"name":"x","tail":1}', PORTABLE_JSON, Dog) == Dog("x")
    assert CODEC.load("[5]", PORTABLE_JSON, Point) == Point(5)

    with pytest.raises(SerializationError, match=r"Dog refuses it: .*'name'"):
        CODEC.load("{}", PORTABLE_JSON, Dog)


def test_the_names_of_the_formats_are_those_of_the_family() -> None:
    assert (PORTABLE_JSON, PICKLE) == ("portable_json", "py_pickle")
