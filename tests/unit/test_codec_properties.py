"""Whatever the value: it reads back as the same, or it is refused; nothing in between."""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from durust.codec import UNTYPED, Codec
from durust.errors import SerializationError

CODEC = Codec()
BOUNDED = settings(max_examples=80, deadline=None)

# Two surrogates in a row make one character in JSON; such texts are refused, which a test of its own shows.
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20).filter(lambda text: not PAIR.search(text))
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
PLAIN = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=20
)
ANYTHING = st.recursive(
    ATOMS | st.floats() | st.binary() | st.decimals() | st.datetimes() | st.dates() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(ATOMS, inner, max_size=4)
        | st.sets(ATOMS, max_size=4)
    ),
    max_leaves=12,
)
ANNOTATIONS: list[Any] = [
    UNTYPED, Any, int, float, str, bool, None, Decimal, datetime, date, bytes, int | str, date | str, float | None,
    list[int], list[Any], tuple[Any, ...], set[int], dict[str, Any], dict[int, Any], list[Decimal | str],
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Leaf:
    at: datetime
    day: date
    span: timedelta
    clock: time
    id: uuid.UUID
    amount: Decimal
    raw: bytes
    tags: frozenset[str]
    pair: tuple[int, float]


@dataclasses.dataclass(frozen=True)
class Tree:
    leaf: Leaf | None
    counts: dict[int, str]
    branches: list[Tree]


# Offsets of whole minutes, which is all that RFC 3339 can say. Zones with rules read back as their offset.
OFFSETS: Any = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LEAVES = st.builds(
    Leaf,
    at=st.datetimes(timezones=OFFSETS),
    clock=st.times(),
    amount=st.decimals(allow_nan=False),
    tags=st.frozensets(TEXTS, max_size=3),
    pair=st.tuples(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
)
TREES = st.recursive(
    st.builds(Tree, st.none() | LEAVES, st.dictionaries(st.integers(), TEXTS, max_size=3), st.just([])),
    lambda inner: st.builds(Tree, st.none() | LEAVES, st.just({}), st.lists(inner, max_size=3)),
    max_leaves=5,
)


def same(ours: Any, theirs: Any) -> bool:
    """Compare without the code under test; by `repr`, which tells types, signs and nan, save the order of sets."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, float):
        return repr(ours) == repr(theirs)
    if isinstance(ours, dict):
        return len(ours) == len(theirs) and all(map(same, [*ours, *ours.values()], [*theirs, *theirs.values()]))
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, set | frozenset):
        return ours == theirs and sorted(map(repr, ours)) == sorted(map(repr, theirs))
    # A naive instant's fold is shown, but is no part of its value.
    return repr(ours) == repr(theirs) or (isinstance(ours, datetime) and ours == theirs)


@BOUNDED
@given(PLAIN)
def test_plain_json_always_reads_back(value: Any) -> None:
    encoded, settled = CODEC.settle(value)

    assert same(settled, value)
    assert same(CODEC.load(*encoded), value)
    assert encoded.text is not None
    assert "\0" not in encoded.text
    encoded.text.encode()


@BOUNDED
@given(TREES)
def test_typed_values_always_read_back(value: Tree) -> None:
    encoded, settled = CODEC.settle(value, Tree)

    assert settled == value == CODEC.load(*encoded, Tree)
    assert str(value.leaf and value.leaf.amount) == str(settled.leaf and settled.leaf.amount)


@BOUNDED
@given(ANYTHING, st.sampled_from(ANNOTATIONS))
def test_anything_reads_back_as_the_same_or_is_refused(value: Any, annotation: Any) -> None:
    try:
        encoded, settled = CODEC.settle(value, annotation)
    except SerializationError:
        return

    assert same(settled, value)
    assert same(CODEC.load(*encoded, annotation), value)


@BOUNDED
@given(st.lists(ANYTHING, max_size=3))
def test_any_error_is_carried(args: list[Any]) -> None:
    error = ValueError(*args)

    back = CODEC.load_error(*CODEC.dump_error(error))

    assert str(back).endswith(str(error)) or any(isinstance(arg, set | frozenset) for arg in args)
    if type(back) is ValueError:
        assert same(list(back.args), args)


@BOUNDED
@given(st.text() | st.binary().map(bytes.hex), st.sampled_from(["portable_json", "py_pickle", "", "x", None]))
def test_no_stored_text_keeps_an_error_from_being_answered(text: str, serialization: str | None) -> None:
    for codec in (CODEC, Codec("pickle")):
        assert isinstance(codec.load_error(text, serialization), Exception)


@BOUNDED
@given(st.floats())
def test_each_finite_number_reads_back_to_the_last_digit(value: float) -> None:
    try:
        encoded = CODEC.dump(value, float)
    except SerializationError:
        assert not math.isfinite(value)
        return

    assert repr(CODEC.load(*encoded, float)) == repr(value)
