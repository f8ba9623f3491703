"""A value reads back as the same, to the type and the last digit, or is refused with its place and the remedy."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest

from durust.codec import PICKLE, PORTABLE_JSON, UNTYPED, Codec, Encoded
from durust.errors import InvalidArgument, SerializationError

CODEC = Codec()
INDIA = timezone(timedelta(hours=5, minutes=30))
T = TypeVar("T")
Cents = NewType("Cents", int)


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2.0)


class Priority(enum.IntEnum):
    LOW = 1


class Shade(enum.StrEnum):
    DARK = "dark"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Line:
    sku: str
    price: Decimal


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    id: uuid.UUID
    lines: list[Line]
    placed: datetime
    note: str | None = None


@dataclasses.dataclass
class Gift(Line):
    to: str = "you"


@dataclasses.dataclass
class Node:
    value: int
    next: Node | None = None
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Boxes(Box[list[T]], Generic[T]):
    spare: T


@dataclasses.dataclass
class DateBox(Box[date]):
    pass


@dataclasses.dataclass
class Sum:
    parts: list[int]
    total: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.parts)

    @functools.cached_property
    def mean(self) -> float:
        return self.total / len(self.parts)


@dataclasses.dataclass
class Shouting:
    word: str

    def __post_init__(self) -> None:
        self.word += "!"


@dataclasses.dataclass
class Cat:
    name: str


@dataclasses.dataclass
class Dog:
    name: str
    loud: bool = True


@dataclasses.dataclass
class Fox:
    name: str


class Point(NamedTuple):
    x: int
    day: date = date(2020, 1, 1)


class Patch(TypedDict):
    day: date
    note: NotRequired[str]


class Reading(msgspec.Struct):
    at: datetime
    raw: bytes
    level: float = 0.5


class Start(msgspec.Struct, tag=True):
    at: datetime


class Stop(msgspec.Struct, tag=True):
    at: datetime


class Model:
    """What durust sees of a pydantic model."""

    def __init__(self, day: date) -> None:
        self.day = day

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.day == other.day

    def __hash__(self) -> int:
        return hash(self.day)

    def __repr__(self) -> str:
        return f"Model({self.day})"

    def model_dump(self, **how: object) -> dict[str, Any]:
        assert how["mode"] == "json"
        return {"day": self.day.isoformat()}

    @classmethod
    def model_validate_json(cls, text: str) -> Model:
        return cls(date.fromisoformat(msgspec.json.decode(text)["day"]))


NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, INDIA)
ORDER = Order(uuid.UUID(int=7), [Line("a", Decimal("1.50")), Line("b", Decimal("0E-8"))], NOON)


def refusal(value: object, annotation: Any = UNTYPED, what: str = "result") -> SerializationError:
    """Return the error that refuses *value*."""
    with pytest.raises(SerializationError) as caught:
        CODEC.dump(value, annotation, what=what)
    return caught.value


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
    ("value", "place", "reason"),
    [
        ([0, 1, (1, 2)], "result[2]", "a tuple would read back as a list"),
        ({"a": {1}}, "result['a']", "a set would read back as a list"),
        ({"a": [{"price": Decimal(1)}]}, "result['a'][0]['price']", "a Decimal would read back as a str"),
        (NOON, "result", "a datetime would read back as a str"),
        (b"x", "result", "a bytes would read back as a str"),
        ({1: 2}, "result", "the key 1 would read back as '1'"),
        ({None: 2}, "result", "a dict with such keys cannot be written as JSON"),
        ({(1, 2): 2}, "result", "a dict with such keys cannot be written as JSON"),
        (Cat("x"), "result", "a Cat would read back as a dict"),
        (Model(date(2020, 1, 1)), "result", "a Model would read back as a dict"),
        (Colour.RED, "result", "a Colour would read back as a str"),
        (Text("x"), "result", "a Text cannot be written as JSON"),
        ([Cat, 1], "result[0]", "a type cannot be written as JSON"),
        ({"a": [object()]}, "result['a'][0]", "an object cannot be written as JSON"),
        ([Box(Box(lambda: 1))], "result[0].content.content", "a function cannot be written as JSON"),
        (collections.OrderedDict(a=1), "result", "an OrderedDict would read back as a dict"),
        (1j, "result", "a complex cannot be written as JSON"),
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


def test_a_cached_property_does_not_count_as_state() -> None:
    asked = Sum([1, 3])
    assert asked.mean == 2

    _, settled = CODEC.settle(asked, Sum)

    assert settled == asked


def test_an_attribute_that_is_no_field_is_refused() -> None:
    tampered = Sum([1])
    tampered.more = 1  # type: ignore[attr-defined]

    assert refusal(tampered, Sum).reason == "the attribute 'more' is no field and would be lost"


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert "nests deeper" in refusal(circle).reason


def nested(depth: int, inner: object = None) -> object:
    """Return a list in a list in a list."""
    for _ in range(depth):
        inner = [inner]
    return inner


def test_a_value_may_nest_two_hundred_levels_and_no_more() -> None:
    assert CODEC.settle(nested(200))[1] == nested(200)

    for depth in (201, 100_000):
        assert "nests deeper than 200 levels" in refusal(nested(depth)).reason


def test_a_typed_value_of_the_deepest_kind_reads_back_from_a_deep_stack() -> None:
    chain = None
    # The list of children is one level more.
    for value in range(199):
        chain = Node(value, chain)
    encoded = CODEC.dump(chain, Node)

    def deep(frames: int) -> Any:
        return deep(frames - 1) if frames else CODEC.load(*encoded, Node)

    assert CODEC.dump(deep(300), Node) == encoded


def test_text_that_nests_too_deep_is_refused() -> None:
    with pytest.raises(SerializationError, match="nests deeper"):
        CODEC.load("[" * 100_000, PORTABLE_JSON)


def test_many_brackets_in_a_text_are_not_depth() -> None:
    assert CODEC.settle(["[" * 1000, [[]] * 1000])[1] == ["[" * 1000, [[]] * 1000]


def test_a_value_past_the_limit_is_refused() -> None:
    small = Codec(value_bytes_max=10)

    assert small.dump("é" * 4) == Encoded('"éééé"', PORTABLE_JSON)
    for value in ("é" * 5, ["a" * 10]):
        with pytest.raises(SerializationError, match="more than value_bytes_max=10"):
            small.dump(value)


def test_an_integer_with_more_digits_than_python_reads_is_refused() -> None:
    assert "4300 digits" in refusal(10**5000).reason
    assert "4300 digits" in refusal([10**5000], list[int]).reason


@pytest.mark.parametrize("serialization", [None, "", PORTABLE_JSON])
def test_a_row_without_a_format_is_read_as_portable_json(serialization: str | None) -> None:
    assert CODEC.load('{"a":"2020-01-01"}', serialization, dict[str, date]) == {"a": date(2020, 1, 1)}


def test_a_missing_text_is_none() -> None:
    assert CODEC.load(None, PORTABLE_JSON, Order) is None


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


def test_fields_that_stored_text_lacks_take_their_defaults_and_unknown_ones_are_ignored() -> None:
    assert CODEC.load('{"name":"x","tail":1}', PORTABLE_JSON, Dog) == Dog("x")
    assert CODEC.load("[5]", PORTABLE_JSON, Point) == Point(5)

    with pytest.raises(SerializationError, match=r"Dog refuses it: .*'name'"):
        CODEC.load("{}", PORTABLE_JSON, Dog)


def test_a_codec_refuses_settings_that_cannot_be_meant() -> None:
    with pytest.raises(InvalidArgument, match="serializer='yaml'"):
        Codec("yaml")
    with pytest.raises(InvalidArgument, match="value_bytes_max=0"):
        Codec(value_bytes_max=0)


def test_the_names_of_the_formats_are_those_of_the_family() -> None:
    assert (PORTABLE_JSON, PICKLE) == ("portable_json", "py_pickle")
