"""An orderly end loses nothing, repeats nothing and costs no attempt; a second signal makes it quick."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from durust import clock
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, Up, count, enqueue, enqueue_one
from tests.support.ledger import Ledger
from tests.support.waiting import eventually

WORK_SECONDS = 60.0


def interrupt_work(up: StartUp, url: str, provider: StateProvider, ledger: Ledger, number: signal.Signals) -> list[str]:
    """Send a supervisor amid its work a signal, let another one do the rest, and return the workflows' ids."""
    first = up("steps", "--workers", "2", "--slots", "4", "--lease-seconds", "2", url=url)
    first.wait_until_up(2)
    ids = enqueue(provider, 60, seconds=0.1)
    eventually(lambda: any(entry.place == 1 for entry in ledger.entries()))

    first.signal(number)
    first.process.wait()

    second = up("steps", "--workers", "2", "--lease-seconds", "2", url=url)
    eventually(lambda: count(provider, Status.SUCCESS) == len(ids), WORK_SECONDS)
    second.signal(signal.SIGTERM)
    assert second.process.wait() == 0
    return ids


@pytest.mark.covers(202)
@pytest.mark.protocol("4.drain.beats-last", "4.attempts")
@pytest.mark.parametrize("no_zmq", ["0", "1"])
def test_a_drain_repeats_no_step_and_leaves_nothing_behind(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, no_zmq: str
) -> None:
    monkeypatch.setenv("DURUST_NO_ZMQ", no_zmq)

    ids = interrupt_work(up, url, provider, ledger, signal.SIGTERM)

    assert ledger.faults(ids, steps.PLACES) == []
    assert ledger.repeats() == 0
    assert {row.attempts for row in provider.workflows(ListFilter(limit=1000))} == {1}


def test_the_judge_of_drains_sees_a_supervisor_that_just_dies(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    interrupt_work(up, url, provider, ledger, signal.SIGKILL)

    assert ledger.repeats() > 0
    assert {row.attempts for row in provider.workflows(ListFilter(limit=1000))} != {1}


def start_a_long_run(up: StartUp, url: str, provider: StateProvider, ledger: Ledger, gate: Path, seconds: str) -> Up:
    supervisor = up("steps", "--workers", "1", "--drain-timeout", seconds, url=url)
    enqueue_one(provider, steps.gated, str(gate))
    eventually(lambda: [entry.place for entry in ledger.entries()] == [0])
    return supervisor


@pytest.mark.covers(202)
@pytest.mark.protocol("4.drain.hand-back", "4.attempts")
def test_what_does_not_end_in_time_is_handed_back_without_costing_an_attempt(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger, tmp_path: Path
) -> None:
    supervisor = start_a_long_run(up, url, provider, ledger, tmp_path / "gate", "1")
    asked_at = clock.monotonic()

    supervisor.signal(signal.SIGTERM)

    assert supervisor.process.wait() == 0
    # The deadline, and the two seconds after which the process has to be gone.
    assert clock.monotonic() - asked_at < 1 + 2 + 1
    [row] = provider.workflows(ListFilter())
    assert (row.status, row.attempts, row.executor_id) == (Status.ENQUEUED, 0, None)


@pytest.mark.parametrize("no_zmq", ["0", "1"])
def test_a_second_signal_does_not_wait(
    up: StartUp,
    url: str,
    provider: StateProvider,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_zmq: str,
) -> None:
    monkeypatch.setenv("DURUST_NO_ZMQ", no_zmq)
    supervisor = start_a_long_run(up, url, provider, ledger, tmp_path / "gate", "600")
    supervisor.signal(signal.SIGTERM)
    eventually(lambda: "draining" in supervisor.said)

    supervisor.signal(signal.SIGTERM)

    assert supervisor.process.wait(5) == 0
    assert "ending at once" in supervisor.said
    [row] = provider.workflows(ListFilter())
    assert (row.status, row.attempts) == (Status.ENQUEUED, 0)
