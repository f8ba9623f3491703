"""A migrated Postgres for each test, the provider on it, and races between connections to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from durust.storage.postgres import PostgresProvider
from tests.storage.races import Race
from tests.support.databases import MakeMigrated
from tests.support.server import MakeDatabase


@pytest.fixture
def url(request: pytest.FixtureRequest, make_database: MakeDatabase, make_migrated: MakeMigrated) -> str:
    """Return the address of a database of the test's own: migrated where it asks for a provider, else empty."""
    return make_migrated("postgres") if "provider" in request.fixturenames else make_database()


@pytest.fixture
def provider(url: str) -> Iterator[PostgresProvider]:
    """Return a provider on a migrated database, closed after the test."""
    with closing(PostgresProvider(url)) as opened:
        yield opened


@pytest.fixture
def race(url: str, provider: PostgresProvider) -> Iterator[Race]:
    """Return a race on the provider's database."""
    made = Race(url)
    yield made
    made.close()
