"""What the guide shows of other libraries and of plain SQL does what it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from durust import DurableClient
from tests.examples.guides import Block, blocks
from tests.interop.conversation import ANSWER_SECONDS
from tests.interop.environment import TIMEOUT_SECONDS
from tests.support.processes import ROOT, Spawned

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

PAGE = ROOT / "docs" / "guides" / "serialization.md"


def shown(language: str, file: str | None = None) -> Block:
    """Return the one block of the guide in a language, with the name of its file."""
    [block] = [block for block in blocks(PAGE) if (block.language, block.file) == (language, file)]
    return block


def test_the_official_client_of_the_guide(other_python: Path, worker: Spawned, url: str, tmp_path: Path) -> None:
    program = tmp_path / "official.py"
    program.write_text(shown("python", "official.py").text, encoding="utf-8")

    done = subprocess.run(
        [other_python, program],
        env={**os.environ, "DURUST_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


@pytest.mark.covers(178)
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_the_sql_of_the_guide(worker: Spawned, url: str) -> None:
    with psycopg.connect(url) as server:
        [(workflow_id,)] = server.execute(shown("sql").text.encode()).fetchall()

    with DurableClient(url) as client:
        assert client.retrieve_workflow(workflow_id).get_result(ANSWER_SECONDS) == 3
