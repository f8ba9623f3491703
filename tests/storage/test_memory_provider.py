"""The provider in memory belongs to one process, whose threads share it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from durust.errors import ProviderUnavailable
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.model.writes import Recorded
from durust.storage.listening import HINTS_MAX
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import Hint
from tests.conformance.builders import commit, finish, make_enqueued, make_executor, record_step, start, want

THREADS, WORKFLOWS = 4, 200


@pytest.mark.protocol("6.memory")
def test_it_is_seen_by_one_process_alone() -> None:
    first, second = InMemoryProvider(), InMemoryProvider()

    make_enqueued(first, "a")

    assert first.is_shared is False
    assert second.workflows(ListFilter()) == []


def test_four_threads_run_two_hundred_workflows_once_each() -> None:
    provider = InMemoryProvider()
    ids = [f"run {number:03}" for number in range(WORKFLOWS)]
    commit(provider, *(start(workflow_id) for workflow_id in ids))

    def work(name: str) -> list[str]:
        make_executor(provider, name)
        done = []
        while claims := provider.claim(want(name, limit=3)):
            for claimed in claims:
                assert commit(provider, record_step(claimed), finish(claimed)) == [Recorded(), Recorded()]
                done.append(claimed.lease.workflow_id)
        return done

    with ThreadPoolExecutor(THREADS) as threads:
        done = [name for names in threads.map(work, "abcd") for name in names]

    assert sorted(done) == ids
    assert len(provider.workflows(ListFilter(statuses=[Status.SUCCESS]))) == WORKFLOWS


def test_after_closing_it_is_away() -> None:
    provider = InMemoryProvider()
    writer = provider.writer()
    provider.close()
    provider.close()

    for attempt in (provider.writer, provider.queues, provider.migrate, lambda: writer.commit([start("a")])):
        with pytest.raises(ProviderUnavailable, match="closed"):
            attempt()


def test_a_listener_that_nobody_reads_forgets_its_oldest_hints() -> None:
    provider = InMemoryProvider()
    listener = provider.listen()

    provider.announce([Hint("workflow", str(number)) for number in range(HINTS_MAX + 5)])

    heard = listener.wait(0)
    assert (len(heard), heard[-1]) == (HINTS_MAX, Hint("workflow", str(HINTS_MAX + 4)))
