"""A hint of the database reaches every worker through its supervisor; without any, the poll finds the work."""

from __future__ import annotations

import pytest

from durust import clock
from durust.storage.provider import Hint, StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, enqueue_one
from tests.support.ledger import Ledger
from tests.support.processes import Spawn
from tests.support.waiting import eventually

POLL_SECONDS = 6


@pytest.mark.parametrize("no_zmq", ["0", "1"])
def test_queued_work_begins_at_once_with_hints_and_by_the_poll_without(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, no_zmq: str
) -> None:
    env = {"DURUST_NO_ZMQ": no_zmq, "DURUST_IDLE_POLL_SECONDS": str(POLL_SECONDS)}
    supervisor = up("steps", "--workers", "1", url=url, env=env)
    supervisor.wait_until_up(1)
    queued_at = clock.monotonic()

    enqueue_one(provider, steps.job, 0.0)
    provider.announce([Hint("queue", steps.queue.name)])

    eventually(lambda: len(ledger.entries()) == steps.PLACES)
    took = clock.monotonic() - queued_at
    assert took < 2 * POLL_SECONDS
    if no_zmq == "0":
        assert took < POLL_SECONDS / 3


# It ends as soon as it has queued.
QUEUE_AND_END = """
import sys
import durust

durust.DurableClient(sys.argv[1]).enqueue("work", "job", "client", 0.0)
"""


@pytest.mark.covers(97, 110)
def test_a_client_in_another_process_wakes_idle_workers(up: StartUp, url: str, ledger: Ledger, spawn: Spawn) -> None:
    supervisor = up("steps", "--workers", "2", url=url, env={"DURUST_IDLE_POLL_SECONDS": "60"})
    supervisor.wait_until_up(2)

    process = spawn("-c", QUEUE_AND_END, url)

    assert (process.wait(), process.stderr) == (0, "")
    # Long before the poll, which comes after 45 seconds at the earliest.
    eventually(lambda: len(ledger.entries()) == steps.PLACES)
