"""A stage for each test of the engine, on every provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from durust import DurableClient
from durust.engine.registry import Registry
from tests.conformance.conftest import PROVIDERS, Rewrite, rewriter
from tests.engine.clients import MAKE_NOTES, connect, make_client
from tests.engine.colours import COLOURS, PAINTS, Paint
from tests.engine.lines import MAKE_LINES
from tests.engine.stage import Stage, wait_until_no_threads
from tests.support.databases import MakeMigrated


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test declares, and what other tests' applications declare, from each other's engines."""
    registry = Registry()
    for module in ("decorators", "durable", "queue"):
        monkeypatch.setattr(f"durust.{module}.REGISTRY", registry)


@pytest.fixture(params=PROVIDERS)
def url(request: pytest.FixtureRequest, make_migrated: MakeMigrated) -> str:
    """Return the address of a migrated database of one kind."""
    return make_migrated(request.param)


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    """Return a stage; whatever was launched on it is closed after the test and leaves no thread behind."""
    made = Stage(url)
    yield made
    made.close()
    wait_until_no_threads()


@pytest.fixture
def client(stage: Stage) -> Iterator[DurableClient]:
    """Return a client of the stage's database."""
    with make_client(stage) as made:
        yield made


@pytest.fixture
def own(url: str, stage: Stage) -> Iterator[Any]:
    """Return a connection of the client's user to the stage's database, with a table of his own."""
    with closing(connect(url)) as connection:
        connection.execute(MAKE_NOTES)
        connection.commit()
        yield connection


@pytest.fixture
def lines(url: str, stage: Stage) -> Iterator[Any]:
    """Return a connection that looks at the notes of transactions in the stage's database."""
    with closing(connect(url)) as connection:
        connection.execute(MAKE_LINES)
        connection.commit()
        yield connection


@pytest.fixture
def rewrite(url: str, stage: Stage) -> Rewrite:
    """Return `rewrite`, which changes a column of a workflow behind the engine's back."""
    return rewriter(url, stage.provider)


@pytest.fixture(params=COLOURS)
def paint(request: pytest.FixtureRequest) -> Paint:
    """Return what makes a script a workflow, in each colour in turn."""
    return PAINTS[request.param]
