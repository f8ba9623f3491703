"""What the tests of applications share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import MakeDatabase


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database of each kind that processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/durust.db"
    make_database: MakeDatabase = request.getfixturevalue("make_database")
    return make_database()
