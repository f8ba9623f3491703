"""A workflow's time is over when the database says so, also where its worker can do nothing about it."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from durust import DurableClient, WorkflowOptions, WorkflowTimedOut
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, Up
from tests.support.ledger import Ledger
from tests.support.waiting import eventually

# Longer than a worker takes to claim a workflow and begin, on a busy machine.
TIMEOUT_SECONDS = 3.0
RESULT_SECONDS = 30.0


def hold(_: psutil.Process) -> None:
    """Leave the worker to its body, which holds the interpreter's lock in C code."""


def stop(worker: psutil.Process) -> None:
    """Stop the worker."""
    worker.suspend()


@pytest.mark.covers(135)
@pytest.mark.parametrize("hang", [hold, stop])
def test_a_workflow_times_out_though_its_worker_hangs(
    up: StartUp, url: str, ledger: Ledger, hang: Callable[[psutil.Process], None]
) -> None:
    # Hung for longer than the test, so that nobody ends the worker and hands its workflow back.
    supervisor: Up = up("steps", "--workers", "1", "--hang-timeout", "600", url=url)
    supervisor.wait_until_up(1)
    with DurableClient(url) as client:
        options = WorkflowOptions(workflow_id="deaf", timeout=TIMEOUT_SECONDS)
        handle = client.enqueue(steps.queue, steps.deaf.name, "deaf", options=options)
        eventually(ledger.entries)
        [worker] = supervisor.workers()
        hang(worker)

        with pytest.raises(WorkflowTimedOut):
            handle.get_result(RESULT_SECONDS)

        row = handle.get_status()
        assert (row.completed_at_ms or 0) >= (row.deadline_ms or 0) > 0
    assert [entry.place for entry in ledger.entries()] == [0]
    worker.resume()
