"""A supervisor removes what has ended, for its workers and while they work."""

from __future__ import annotations

from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.conformance.builders import commit, finish, make_claimed
from tests.supervisor.conftest import StartUp, count
from tests.support.waiting import eventually


def test_a_supervisor_that_keeps_nothing_removes_what_has_ended(up: StartUp, url: str, provider: StateProvider) -> None:
    for _ in range(3):
        commit(provider, finish(make_claimed(provider)))
    make_claimed(provider, "running")

    up("steps", "--workers", "1", "--retention-seconds", "0", url=url)

    eventually(lambda: count(provider, Status.SUCCESS) == 0)
    assert count(provider, Status.PENDING) == 1
