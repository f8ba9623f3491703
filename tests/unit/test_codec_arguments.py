"""Arguments travel by the annotations of the parameters they fill."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from durust.codec import PORTABLE_JSON, UNTYPED, Codec, Encoded, Shape
from durust.errors import SerializationError

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

CODEC = Codec()


@dataclasses.dataclass
class Order:
    id: str
    due: date


def process(ctx: object, order: Order, *days: date, price: Decimal = Decimal(0), **more: set[int]) -> Order:
    return order


def shape_of(fn: Callable[..., Any]) -> Shape:
    """Return the shape of *fn* as a workflow."""
    return Shape.of(fn, skip_first=True)


PROCESS = shape_of(process)
DAY = date(2020, 1, 1)


def test_arguments_are_rebuilt_by_the_parameters_they_fill() -> None:
    args, kwargs = (Order("a", DAY), DAY, DAY), {"price": Decimal("1.50"), "seen": {1}}

    encoded = CODEC.dump_arguments(PROCESS, args, kwargs)

    assert CODEC.load_arguments(*encoded, PROCESS) == (args, kwargs)
    assert encoded == Encoded(
        '{"positionalArgs":[{"id":"a","due":"2020-01-01"},"2020-01-01","2020-01-01"],'
        '"namedArgs":{"price":"1.50","seen":[1]}}',
        PORTABLE_JSON,
    )


def test_the_name_of_an_argument_may_hold_what_a_value_may() -> None:
    encoded = CODEC.dump_arguments(PROCESS, (Order("a", DAY),), {"\0\ud800": {1}})

    assert CODEC.load_arguments(*encoded, PROCESS) == ((Order("a", DAY),), {"\0\ud800": {1}})


def test_an_argument_given_by_name_is_rebuilt_too() -> None:
    encoded = CODEC.dump_arguments(PROCESS, (), {"order": Order("a", DAY)})

    assert CODEC.load_arguments(*encoded, PROCESS) == ((), {"order": Order("a", DAY)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"namedArgs":{"price":"2"},"positionalArgs":[{"id":"a","due":"2020-01-01"}]}', True),
        ("{}", False),
        ('{"positionalArgs":null,"namedArgs":null}', False),
        (None, False),
    ],
)
def test_both_lists_of_arguments_are_optional(text: str | None, expected: bool) -> None:
    found = CODEC.load_arguments(text, None, PROCESS)

    assert found == (((Order("a", DAY),), {"price": Decimal(2)}) if expected else ((), {}))


@pytest.mark.parametrize("text", ["[]", "5", '{"positionalArgs":{}}', '{"namedArgs":[1]}', '{"positionalArgs":"x"}'])
def test_arguments_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(SerializationError, match="arguments of process: positionalArgs"):
        CODEC.load_arguments(text, PORTABLE_JSON, PROCESS)


def test_an_argument_that_cannot_be_written_names_the_parameter_and_the_workflow() -> None:
    with pytest.raises(SerializationError) as caught:
        CODEC.dump_arguments(PROCESS, (Order("a", [DAY]),), {})  # type: ignore[arg-type]

    assert caught.value.path == "argument 'order' of process, at due"


def test_a_stored_argument_that_does_not_fit_names_the_parameter_and_the_workflow() -> None:
    for text in ('{"positionalArgs":[{"id":5,"due":"2020-01-01"}]}', '{"namedArgs":{"order":{"id":5}}}'):
        with pytest.raises(SerializationError, match="argument 'order' of process, at id: str wanted, an int found"):
            CODEC.load_arguments(text, PORTABLE_JSON, PROCESS)


def test_arguments_past_the_limit_are_refused_together() -> None:
    with pytest.raises(SerializationError, match="arguments of process: it takes"):
        Codec(value_bytes_max=40).dump_arguments(PROCESS, (), {"a": {1}, "b": {2}})


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "missing a required argument: 'order'"),
        ((1,), {"order": 1}, "multiple values for argument 'order'"),
    ],
)
def test_arguments_that_do_not_fit_name_the_workflow_and_the_parameter(
    args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TypeError) as caught:
        PROCESS.bind(args, kwargs)

    assert str(caught.value) == f"process(order, days, price, more): {complaint}"


def test_the_context_is_no_argument() -> None:
    def alone(ctx: object, day: date) -> None: ...

    shape_of(alone).bind((DAY,), {})
    with pytest.raises(TypeError, match=r"alone\(day\): too many positional arguments"):
        shape_of(alone).bind((object(), DAY), {})
    with pytest.raises(TypeError, match=r"alone\(day\): got an unexpected keyword argument 'ctx'"):
        shape_of(alone).bind((DAY,), {"ctx": 1})


def test_a_workflow_without_a_context_is_refused() -> None:
    def nothing() -> None: ...

    def named(*, ctx: object) -> None: ...

    def generous(*args: int) -> None: ...

    assert shape_of(generous).rest is int

    for fn in (nothing, named):
        with pytest.raises(TypeError, match="must take its context as the first parameter"):
            shape_of(fn)


def test_the_result_is_what_the_function_says() -> None:
    def silent(ctx: object): ...  # type: ignore[no-untyped-def] # noqa: ANN202

    def nothing(ctx: object) -> None: ...

    assert PROCESS.result is Order
    assert shape_of(silent).result is UNTYPED
    assert shape_of(nothing).result is type(None)


def test_an_annotation_that_exists_for_type_checkers_only_leaves_the_rest_typed() -> None:
    def step(unknown: Unknown, nested: list[Unknown], day: date) -> Unknown: ...

    shape = Shape.of(step, skip_first=False)

    assert dict(shape.parameters) == {"unknown": UNTYPED, "nested": UNTYPED, "day": date}
    assert shape.result is UNTYPED


def test_a_class_of_another_function_leaves_its_parameter_untyped() -> None:
    def make() -> Callable[..., Any]:
        class Local: ...

        def step(local: Local, day: date) -> None: ...

        return step

    shape = Shape.of(make(), skip_first=False)

    assert dict(shape.parameters) == {"local": UNTYPED, "day": date}


def test_a_local_class_that_the_body_uses_is_known() -> None:
    @dataclasses.dataclass
    class Local:
        day: date
        next: Local | None = None

    def step() -> Local:
        return Local(DAY, Local(DAY))

    encoded, settled = CODEC.settle(step(), Shape.of(step, skip_first=False).result)

    assert settled == step()
    assert encoded.text == '{"day":"2020-01-01","next":{"day":"2020-01-01","next":null}}'


def test_a_default_of_none_lets_none_in() -> None:
    def step(day: date = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013

    shape = Shape.of(step, skip_first=False)

    assert shape.parameters["day"] == typing.Optional[date]  # noqa: UP045


def test_every_kind_of_callable_has_a_shape() -> None:
    class Charge:
        def __call__(self, day: date) -> Decimal: ...  # type: ignore[empty-body]

        def method(self, day: date) -> Decimal: ...  # type: ignore[empty-body]

    @functools.wraps(process)
    def wrapped(*args: Any, **kwargs: Any) -> Any: ...

    async def asynchronous(day: date) -> Decimal: ...  # type: ignore[empty-body]

    for fn in (Charge(), Charge().method, asynchronous):
        shape = Shape.of(fn, skip_first=False)
        assert (dict(shape.parameters), shape.result) == ({"day": date}, Decimal)
    assert shape_of(wrapped).parameters == PROCESS.parameters
    assert Shape.of(functools.partial(process, None), skip_first=False).result is Order
    assert Shape.of(Order, skip_first=False).result is Order
    assert Shape.of(Order, skip_first=False).parameters["due"] is date
    assert Shape.of(lambda: 1, skip_first=False).result is UNTYPED
    assert Shape.of(math.hypot, skip_first=False).result is UNTYPED


def test_pickled_arguments_come_back_whatever_they_are() -> None:
    codec = Codec("pickle")

    encoded = codec.dump_arguments(PROCESS, ((1, {2}), process), {"x": 1j})

    assert codec.load_arguments(*encoded, PROCESS) == (((1, {2}), process), {"x": 1j})
