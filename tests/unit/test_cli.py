"""What the command line says to its user, and to nobody."""

from __future__ import annotations

import os
import sys

import pytest

from durust.supervisor.cli import say


def test_a_reader_that_left_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    gone = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", gone)

    say("worker 0 is up")

    with pytest.raises(BrokenPipeError):
        gone.close()
