"""A migrated Postgres for each test, the provider on it, and races between connections to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durust.storage.postgres import PostgresProvider
from tests.storage.races import Race
from tests.support.server import MakeDatabase


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """Return the address of an empty database."""
    return make_database()


@pytest.fixture
def provider(url: str) -> Iterator[PostgresProvider]:
    """Return a migrated provider, closed after the test."""
    opened = PostgresProvider(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def race(url: str, provider: PostgresProvider) -> Iterator[Race]:
    """Return a race on the provider's database."""
    made = Race(url)
    yield made
    made.close()
