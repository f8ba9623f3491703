"""What durust tells other libraries of on Postgres, and what it hears of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from durust.storage.announcements import FOREIGN
from durust.storage.postgres import PostgresProvider
from durust.storage.provider import Hint, Listener
from tests.storage.races import Race

CHANNEL = "dbos_notifications_channel"
MESSAGE = Hint("message", "receiver::topic")


@pytest.fixture
def ear(url: str, provider: PostgresProvider) -> Iterator[psycopg.Connection]:
    """Return a connection that listens as the official library does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"listen {CHANNEL}".encode())
        yield connection


def heard(ear: psycopg.Connection) -> list[str]:
    """Return what came on the canonical channel, up to a mark that is sent now."""
    ear.execute("select pg_notify(%s, 'mark')", (CHANNEL,))
    payloads = []
    for notification in ear.notifies():
        if notification.payload == "mark":
            break
        payloads.append(notification.payload)
    return payloads


def make_foreign_application(race: Race) -> None:
    race.observer.do("insert into dbos.application_versions values ('1', 'theirs-1', 1, 1, 'theirs')")


def test_where_only_durust_is_nothing_else_is_told(provider: PostgresProvider, ear: psycopg.Connection) -> None:
    provider.announce([MESSAGE])

    assert heard(ear) == []


def test_an_application_of_another_library_is_told_what_it_may_wait_for(
    provider: PostgresProvider, race: Race, ear: psycopg.Connection
) -> None:
    make_foreign_application(race)

    provider.announce([MESSAGE, Hint("queue", "orders"), Hint("event", "run::key"), MESSAGE])

    assert heard(ear) == ["receiver::topic"]


def test_durusts_own_words_are_known_again_and_those_of_others_are_told_from_them(
    provider: PostgresProvider, race: Race
) -> None:
    make_foreign_application(race)
    with closing(provider.listen()) as listener:
        provider.announce([MESSAGE])
        race.observer.do("select pg_notify('durust_hints', '[[\"mark\", \"1\"]]')")
        own = list(until_mark(listener, "1"))
        race.observer.do("select pg_notify(%(channel)s, 'receiver::topic')", {"channel": CHANNEL})
        race.observer.do("select pg_notify('durust_hints', '[[\"mark\", \"2\"]]')")
        other = list(until_mark(listener, "2"))

    assert own == [MESSAGE]
    assert other == [MESSAGE, FOREIGN]


def until_mark(listener: Listener, mark: str) -> Iterator[Hint]:
    """Yield what is heard until *mark* comes."""
    while True:
        for hint in listener.wait(10):
            if hint == Hint("mark", mark):
                return
            yield hint
