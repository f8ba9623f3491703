"""A hint reaches whoever listens, wakes him early, and is never needed."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from durust import clock
from durust.storage.provider import Hint, Listener, StateProvider
from tests.conformance.builders import QUEUE, make_enqueued
from tests.conformance.conftest import SHARED, open_provider
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# A listener that is not woken waits this long, which no test does.
NEVER_SECONDS = 10 * TIMEOUT_SECONDS


@pytest.fixture
def listener(provider: StateProvider) -> Iterator[Listener]:
    """Return a subscription that is closed before its provider."""
    made = provider.listen()
    yield made
    made.close()


def drain(listener: Listener) -> None:
    """Read what the making of the fixture may have announced."""
    eventually(lambda: not listener.wait(0.05))


def is_about(hint: Hint, wanted: Hint) -> bool:
    return hint.kind == "any" or hint == wanted


def enqueue(provider: StateProvider) -> None:
    """Commit work and announce it, as whoever enqueues does."""
    make_enqueued(provider)
    provider.announce([Hint("queue", QUEUE)])


def test_an_announcement_reaches_a_listener(provider: StateProvider, listener: Listener) -> None:
    drain(listener)

    enqueue(provider)

    assert eventually(lambda: any(is_about(hint, Hint("queue", QUEUE)) for hint in listener.wait(1)))


def test_an_announcement_wakes_who_waits(provider: StateProvider, listener: Listener) -> None:
    drain(listener)
    heard: list[Hint] = []
    waiting = Thread(target=lambda: heard.extend(listener.wait(NEVER_SECONDS)))
    waiting.start()

    enqueue(provider)
    waiting.join(TIMEOUT_SECONDS)

    assert not waiting.is_alive()
    assert heard


def test_an_announcement_reaches_every_listener(provider: StateProvider, listener: Listener) -> None:
    other = provider.listen()
    drain(listener)
    drain(other)

    enqueue(provider)

    assert eventually(lambda: listener.wait(1))
    assert eventually(lambda: other.wait(1))
    other.close()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_an_announcement_reaches_the_listeners_of_another_provider_on_the_database(
    provider: StateProvider, url: str
) -> None:
    other = open_provider(url)
    listener = other.listen()
    drain(listener)

    enqueue(provider)

    assert eventually(lambda: listener.wait(1))
    listener.close()
    other.close()


def test_a_wait_without_hints_ends_when_its_time_is_over(listener: Listener) -> None:
    drain(listener)
    began = clock.monotonic()

    heard = listener.wait(0.1)

    assert heard == []
    assert 0.05 < clock.monotonic() - began < TIMEOUT_SECONDS


def test_a_wake_ends_a_wait_at_once(listener: Listener) -> None:
    drain(listener)
    waiting = Thread(target=lambda: listener.wait(NEVER_SECONDS))
    waiting.start()

    listener.wake()
    waiting.join(TIMEOUT_SECONDS)

    assert not waiting.is_alive()


@pytest.mark.covers(50)
def test_a_wake_before_the_wait_is_not_lost(listener: Listener) -> None:
    drain(listener)
    listener.wake()
    began = clock.monotonic()

    listener.wait(NEVER_SECONDS)

    assert clock.monotonic() - began < TIMEOUT_SECONDS


def test_a_closed_listener_closes_again_and_hears_nothing(provider: StateProvider, listener: Listener) -> None:
    listener.close()
    listener.close()

    provider.announce([Hint("queue", QUEUE)])


def test_an_announcement_without_listeners_is_harmless(provider: StateProvider) -> None:
    provider.announce([Hint("queue", QUEUE), Hint("workflow", "a")])
    provider.announce([])
