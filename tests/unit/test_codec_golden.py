"""What stands in the rows, letter for letter, so that other libraries and plain SQL keep reading it."""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from durust.codec import Codec, Encoded, Shape
from durust.errors import StepRetriesExhausted

CODEC = Codec()


@dataclass
class Charge:
    amount: Decimal
    at: datetime


class Declined(Exception):
    def __init__(self, card: str) -> None:
        super().__init__(f"card {card} was declined")
        self.card = card
        self.code = "card_declined"


def pay(ctx: object, charge: Charge, *, retry: bool = False) -> None: ...


CHARGE = Charge(Decimal("12.50"), datetime(2026, 3, 1, 12, 30, 0, 5, UTC))


@pytest.mark.covers(176)
def test_an_input() -> None:
    shape = Shape.of(pay, skip_first=True)

    assert CODEC.dump_arguments(shape, (CHARGE,), {"retry": True}) == Encoded(
        '{"positionalArgs":[{"amount":"12.50","at":"2026-03-01T12:30:00.000005Z"}],"namedArgs":{"retry":true}}',
        "portable_json",
    )
    assert CODEC.dump_arguments(shape, (), {}) == Encoded('{"positionalArgs":[],"namedArgs":{}}', "portable_json")


@pytest.mark.covers(176)
@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        (None, None, "null"),
        ("naïve \0 \ud800", str, '"naïve \\u0000 \\ud800"'),
        (CHARGE, Charge, '{"amount":"12.50","at":"2026-03-01T12:30:00.000005Z"}'),
        ({"b": 1, "a": [1.0, 1e16, True]}, dict[str, Any], '{"b":1,"a":[1.0,1e16,true]}'),
        # The recorded moment of waking, and the mark that closes a stream.
        (1767225600.25, float, "1767225600.25"),
        ("__DBOS_STREAM_CLOSED__", str, '"__DBOS_STREAM_CLOSED__"'),
    ],
)
def test_an_output_an_event_a_message_and_an_item_of_a_stream(value: object, annotation: Any, text: str) -> None:
    assert CODEC.dump(value, annotation) == Encoded(text, "portable_json")


@pytest.mark.covers(176)
def test_an_error() -> None:
    assert CODEC.dump_error(ValueError("x", 1)) == Encoded(
        '{"name":"ValueError","message":"(\'x\', 1)","code":null,"data":null,'
        '"durust":{"type":"builtins:ValueError","args":["x",1]}}',
        "portable_json",
    )


def test_an_error_that_hands_on_another_argument_than_it_takes() -> None:
    assert CODEC.dump_error(Declined("42")).text == (
        '{"name":"Declined","message":"card 42 was declined","code":"card_declined","data":null,'
        f'"durust":{{"type":"{__name__}:Declined","args":["card 42 was declined"],'
        '"state":{"card":"42","code":"card_declined"}}}'
    )


@pytest.mark.covers(176)
def test_an_error_with_errors_inside() -> None:
    assert CODEC.dump_error(StepRetriesExhausted("pay", 1, (KeyError("k"),))).text == (
        '{"name":"StepRetriesExhausted",'
        "\"message\":\"step 'pay' failed in all 1 attempts; the last error was KeyError: 'k'\","
        '"code":null,"data":null,"durust":{"type":"durust.errors:StepRetriesExhausted",'
        '"args":["pay",1,{"$tuple":[{"$error":0}]}],'
        '"errors":[{"name":"KeyError","message":"\'k\'","code":null,"data":null,'
        '"durust":{"type":"builtins:KeyError","args":["k"]}}]}}'
    )


@pytest.mark.covers(176)
def test_a_pickled_input_and_output() -> None:
    codec = Codec("pickle")
    shape = Shape.of(pay, skip_first=True)

    for encoded, value in (
        (codec.dump_arguments(shape, (1,), {"retry": True}), {"args": (1,), "kwargs": {"retry": True}}),
        (codec.dump((1, {2})), (1, {2})),
    ):
        assert encoded == Encoded(base64.b64encode(pickle.dumps(value)).decode(), "py_pickle")
