"""Classes of the kinds that users annotate with, and values of them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, NamedTuple, NewType, NotRequired, TypedDict, TypeVar

import msgspec

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
