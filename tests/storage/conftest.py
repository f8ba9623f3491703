"""A migrated Postgres for each test, the provider on it, and races between connections to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from durust import clock
from durust.embedded import Server
from durust.storage.postgres import PostgresProvider
from tests.storage.races import Race


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """Return the name of a migrated database: to copy it is quicker than to migrate one for each test."""
    name = f"template_{clock.random_token()}"
    with closing(PostgresProvider(server.create_database(name))) as opened:
        opened.migrate()
    return name


@pytest.fixture
def url(request: pytest.FixtureRequest, server: Server) -> Iterator[str]:
    """Return the address of a database of the test's own: migrated where it asks for a provider, else empty."""
    name = f"test_{clock.random_token()}"
    is_migrated = "provider" in request.fixturenames
    yield server.create_database(name, request.getfixturevalue("template") if is_migrated else "template1")
    server.drop_database(name)


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
