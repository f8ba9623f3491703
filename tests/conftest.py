"""The fixtures that every test may ask for, and the folder of the run's Postgres server."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.databases import make_migrated, migrated_file, template
from tests.support.memory import quick_folder
from tests.support.processes import spawn
from tests.support.server import RunFolder, make_database, remove_abandoned_folders, server

__all__ = ["make_database", "make_migrated", "migrated_file", "server", "spawn", "template"]

_RUN_FOLDER = pytest.StashKey[RunFolder]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of this run's server, in the one process that starts the run's workers or has none."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        remove_abandoned_folders()
        folder = config.stash[_RUN_FOLDER] = RunFolder()
        # Under which pytest makes the folders of tests, unless it is told another place.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(quick_folder()))
        if sys.dont_write_bytecode:
            # The hundreds of processes that tests start would all compile the whole of durust.
            del os.environ["PYTHONDONTWRITEBYTECODE"]
            os.environ["PYTHONPYCACHEPREFIX"] = str(folder.path / "bytecode")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder of this run's server when all of its workers are gone."""
    if folder := config.stash.get(_RUN_FOLDER, None):
        folder.remove()
