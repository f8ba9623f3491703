"""A worker that shows no sign of life is asked for its stacks, killed, and only then are its workflows handed back."""

from __future__ import annotations

import pytest

from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, count, enqueue_one
from tests.support.ledger import Ledger
from tests.support.waiting import eventually


@pytest.mark.protocol("4.local-death.killed-first")
def test_a_worker_whose_interpreter_is_held_is_killed_after_showing_its_stacks(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    supervisor = up("steps", "--workers", "1", "--hang-timeout", "2", url=url)
    enqueue_one(provider, steps.deaf)

    eventually(lambda: count(provider, Status.SUCCESS) == 1)

    assert "shows no progress; its stacks:" in supervisor.said
    assert "in hold_the_interpreter" in supervisor.said
    assert "is killed: it showed no progress for 2 s" in supervisor.said
    assert "1 workflow handed back" in supervisor.said
    assert [entry.place for entry in ledger.entries()] == [0]


@pytest.mark.protocol("4.beat.listed")
def test_a_held_interpreter_keeps_its_lease_until_the_hang_timeout(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    options = ("--workers", "1", "--lease-seconds", "2")
    holding = up("steps", *options, "--hang-timeout", "6", url=url)
    enqueue_one(provider, steps.deaf)
    eventually(ledger.entries)
    other = up("steps", *options, url=url)

    eventually(lambda: "is killed: it showed no progress" in holding.said)

    assert "took over" not in other.said
    eventually(lambda: count(provider, Status.SUCCESS) == 1)
