"""The pair between a supervisor and a worker keeps messages whole and tells when the other side is gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from durust.supervisor.lifeline import MESSAGE_BYTES_MAX, Lifeline, make_lifeline
from durust.supervisor.wire import Failed, Loaded, Report

Pair = tuple[Lifeline, Lifeline, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    mine, end = make_lifeline()
    yield mine, Lifeline(end), end
    mine.close()
    end.close()


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    supervisor, worker, _ = pair
    messages: list[Report] = [Loaded("shop", ("a", "b")), Failed("x" * 1000, "")]

    for message in messages:
        worker.send(message)

    assert supervisor.drain() == messages
    assert not supervisor.is_over


def test_half_a_message_waits_for_its_other_half(pair: Pair) -> None:
    supervisor, _, end = pair
    source, sink = make_lifeline()
    source.send(Failed("why", "where"))
    raw = sink.recv(1000)
    source.close()
    sink.close()

    end.send(raw[:5])
    assert supervisor.drain() == []
    end.send(raw[5:])

    assert supervisor.drain() == [Failed("why", "where")]


def test_the_end_of_the_other_side_is_told_after_its_last_words(pair: Pair) -> None:
    supervisor, worker, end = pair
    worker.send(Failed("why", ""))
    end.close()

    assert supervisor.drain() == [Failed("why", "")]
    assert supervisor.is_over
    assert supervisor.receive() is None


@pytest.mark.parametrize("junk", [b"\xff" * 64, b"\0\0\0\3abc"])
def test_junk_ends_the_conversation(pair: Pair, junk: bytes) -> None:
    supervisor, _, end = pair
    end.send(junk)

    assert supervisor.drain() == []
    assert supervisor.is_over


def test_a_message_that_is_too_large_is_refused(pair: Pair) -> None:
    _, worker, _ = pair

    with pytest.raises(ValueError, match="does not fit"):
        worker.send(Failed("x" * MESSAGE_BYTES_MAX, ""))
