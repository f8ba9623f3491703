"""The journal gives each caller its own outcome, in few transactions, and outlives the database's absence."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from durust.engine import journal as journal_module
from durust.engine.journal import Journal
from durust.engine.ticket import LoopTicket, ThreadTicket
from durust.errors import ProviderUnavailable
from durust.model.writes import Alive, Beat, Outcome, Recorded, StoreQueue, Write
from durust.storage.memory import InMemoryProvider
from tests.conformance.builders import LONG_SECONDS, register
from tests.support.waiting import TIMEOUT_SECONDS, eventually


class Scribe(InMemoryProvider):
    """A provider that keeps each try of a commit, can hold it up, and can fail it first."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: list[tuple[Write, ...]] = []
        self.threads: set[int] = set()
        self.faults: list[Exception] = []
        self.look: Callable[[], object] = bool
        self.gate = threading.Event()
        self.gate.set()

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        self.threads.add(threading.get_ident())
        self.tries.append(tuple(writes))
        self.look()
        assert self.gate.wait(TIMEOUT_SECONDS)
        if self.faults:
            raise self.faults.pop(0)
        return super().commit(writes)

    def stored(self) -> list[str]:
        return [queue.name for queue in self.queues()]


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()


@pytest.fixture
def unstarted(scribe: Scribe) -> Iterator[Journal]:
    """Return a journal whose writer thread does not run."""
    made = Journal(scribe, lambda *_: None)
    yield made
    scribe.gate.set()
    made.close()


@pytest.fixture
def journal(unstarted: Journal) -> Journal:
    unstarted.start()
    return unstarted


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as made:
        yield made


def store(name: str) -> StoreQueue:
    return StoreQueue(name, None, "durust")


def hold_up(journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor) -> Future[Outcome]:
    """Have a commit under way that does not end before the gate opens."""
    scribe.gate.clear()
    first = pool.submit(journal.commit, store("first"))
    eventually(lambda: scribe.tries)
    return first


def submit(journal: Journal, *names: str) -> list[ThreadTicket]:
    tickets = [ThreadTicket() for _ in names]
    for ticket, name in zip(tickets, names, strict=True):
        journal.submit(store(name), ticket)
    return tickets


def away() -> ProviderUnavailable:
    return ProviderUnavailable("memory://", "pulled the plug")


def test_each_of_64_threads_gets_its_own_outcome(journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor) -> None:
    names = [f"du:{number}" for number in range(64)]
    scribe.commit([register(name) for name in names])

    outcomes = list(pool.map(lambda name: [journal.commit(Beat((name,), LONG_SECONDS)) for _ in range(20)], names))

    assert outcomes == [[Alive(frozenset({name}))] * 20 for name in names]


def test_what_gathers_during_a_commit_goes_as_one_batch_in_the_order_of_submission(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    first = hold_up(journal, scribe, pool)
    names = [f"queue-{number}" for number in (3, 1, 2, 0)]
    tickets = submit(journal, *names)

    scribe.gate.set()

    assert [ticket.wait(TIMEOUT_SECONDS) for ticket in tickets] == [Recorded()] * 4
    assert first.result(TIMEOUT_SECONDS) == Recorded()
    assert scribe.tries == [(store("first"),), tuple(store(name) for name in names)]


def test_a_batch_has_a_bound(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "BATCH_WRITES_MAX", 3)
    hold_up(journal, scribe, pool)
    tickets = submit(journal, *map(str, range(7)))

    scribe.gate.set()

    assert [ticket.wait(TIMEOUT_SECONDS) for ticket in tickets] == [Recorded()] * 7
    assert [len(batch) for batch in scribe.tries] == [1, 3, 3, 1]


def test_a_lone_thread_commits_by_itself(unstarted: Journal, scribe: Scribe) -> None:
    outcomes = [unstarted.commit(store(name)) for name in "abc"]

    assert outcomes == [Recorded()] * 3
    assert scribe.threads == {threading.get_ident()}


def test_callers_wait_while_the_queue_is_full_and_go_on(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "QUEUE_WRITES_MAX", 4)
    lengths: list[int] = []
    scribe.look = lambda: lengths.append(len(journal._queue))
    hold_up(journal, scribe, pool)
    others = [pool.submit(journal.commit, store(str(number))) for number in range(40)]
    eventually(journal.is_full)

    scribe.gate.set()

    assert [other.result(TIMEOUT_SECONDS) for other in others] == [Recorded()] * 40
    assert max(lengths) <= 4
    assert len(scribe.stored()) == 41


def test_callers_that_wait_for_room_hear_of_the_end(
    unstarted: Journal, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "QUEUE_WRITES_MAX", 2)
    submit(unstarted, "a", "b")
    waiting = [pool.submit(unstarted.commit, store("c")) for _ in range(3)]

    unstarted.close()

    assert [type(one.exception(TIMEOUT_SECONDS)) for one in waiting] == [ProviderUnavailable] * 3


def test_the_whole_batch_is_repeated_until_the_database_is_back(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    first = hold_up(journal, scribe, pool)
    tickets = submit(journal, "a", "b", "c")
    # Two for the commit under way, two for the batch behind it.
    scribe.faults = [away() for _ in range(2)]
    scribe.look = lambda: scribe.faults.extend([away(), away()] if len(scribe.tries) == 4 else [])

    scribe.gate.set()

    assert first.result(TIMEOUT_SECONDS) == Recorded()
    assert [ticket.wait(TIMEOUT_SECONDS) for ticket in tickets] == [Recorded()] * 3
    batch = (store("a"), store("b"), store("c"))
    assert scribe.tries == [(store("first"),)] * 3 + [batch] * 3
    assert scribe.stored() == ["a", "b", "c", "first"]


def test_any_other_error_goes_to_the_callers_of_its_batch_and_the_writer_lives_on(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    first = hold_up(journal, scribe, pool)
    tickets = submit(journal, "a", "b")
    scribe.look = lambda: scribe.faults.append(ZeroDivisionError("a bug"))

    scribe.gate.set()

    assert first.result(TIMEOUT_SECONDS) == Recorded()
    for ticket in tickets:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            ticket.wait(TIMEOUT_SECONDS)
    scribe.look = bool
    [later] = submit(journal, "later")
    assert later.wait(TIMEOUT_SECONDS) == Recorded()


def test_an_error_of_a_lone_commit_is_the_callers_and_the_next_one_stands(unstarted: Journal, scribe: Scribe) -> None:
    scribe.faults = [ZeroDivisionError("a bug")]

    with pytest.raises(ZeroDivisionError, match="a bug"):
        unstarted.commit(store("a"))

    assert unstarted.commit(store("b")) == Recorded()


def test_closing_commits_what_is_queued(journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor) -> None:
    hold_up(journal, scribe, pool)
    tickets = submit(journal, "a", "b")
    closing = pool.submit(journal.close)

    scribe.gate.set()

    closing.result(TIMEOUT_SECONDS)
    assert [ticket.wait(TIMEOUT_SECONDS) for ticket in tickets] == [Recorded()] * 2
    assert scribe.stored() == ["a", "b", "first"]


def test_closing_does_not_wait_for_a_database_that_is_away(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    first = hold_up(journal, scribe, pool)
    [ticket] = submit(journal, "a")
    scribe.look = lambda: scribe.faults.append(away())
    scribe.faults = [away()]
    scribe.gate.set()
    eventually(lambda: len(scribe.tries) > 2)

    journal.close()

    assert isinstance(first.exception(TIMEOUT_SECONDS), ProviderUnavailable)
    with pytest.raises(ProviderUnavailable):
        ticket.wait(TIMEOUT_SECONDS)


def test_a_commit_after_the_end_raises(journal: Journal, scribe: Scribe) -> None:
    journal.close()

    with pytest.raises(ProviderUnavailable, match="closed"):
        journal.commit(store("late"))

    [ticket] = submit(journal, "later")
    with pytest.raises(ProviderUnavailable, match="closed"):
        ticket.wait(TIMEOUT_SECONDS)
    assert scribe.tries == []


def test_a_queued_commit_raises_after_its_timeout_and_may_still_stand(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    hold_up(journal, scribe, pool)

    with pytest.raises(ProviderUnavailable, match=r"no commit within 0\.05 s"):
        journal.commit(store("late"), timeout_seconds=0.05)

    scribe.gate.set()
    eventually(lambda: scribe.stored() == ["first", "late"])


def test_a_lone_commit_raises_after_its_timeout_while_the_database_is_away(unstarted: Journal, scribe: Scribe) -> None:
    scribe.look = lambda: scribe.faults.append(away())

    with pytest.raises(ProviderUnavailable, match="pulled the plug"):
        unstarted.commit(store("late"), timeout_seconds=0.05)

    assert len(scribe.tries) > 1


def count_wake_ups(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, counts: Counter[Any]) -> None:
    wake = loop.call_soon_threadsafe

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[loop] += 1
        return wake(*args, **kwargs)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)


@pytest.mark.covers(50)
def test_each_loop_is_woken_once_for_a_batch(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_up(journal, scribe, pool)
    counts: Counter[Any] = Counter()
    loops = [asyncio.new_event_loop() for _ in range(2)]
    tickets = [LoopTicket(loop) for loop in loops for _ in range(50)]
    for loop in loops:
        count_wake_ups(loop, monkeypatch, counts)
    for number, ticket in enumerate(tickets):
        journal.submit(store(str(number)), ticket)

    scribe.gate.set()

    for ticket in tickets:
        assert ticket.loop.run_until_complete(asyncio.wait_for(ticket.future, TIMEOUT_SECONDS)) == Recorded()
    assert counts == dict.fromkeys(loops, 1)
    for loop in loops:
        loop.close()


@pytest.mark.covers(50)
def test_a_cancelled_await_abandons_the_ticket_and_not_the_write(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    async def abandon() -> Outcome:
        abandoned, kept = (LoopTicket(asyncio.get_running_loop()) for _ in range(2))
        journal.submit(store("abandoned"), abandoned)
        journal.submit(store("kept"), kept)
        abandoned.future.cancel()
        with suppress(asyncio.CancelledError):
            await abandoned.future
        scribe.gate.set()
        return await asyncio.wait_for(kept.future, TIMEOUT_SECONDS)

    hold_up(journal, scribe, pool)

    assert asyncio.run(abandon()) == Recorded()
    assert scribe.stored() == ["abandoned", "first", "kept"]


@pytest.mark.covers(50)
def test_a_loop_that_was_closed_keeps_nobody_else_from_the_answer(
    journal: Journal, scribe: Scribe, pool: ThreadPoolExecutor
) -> None:
    hold_up(journal, scribe, pool)
    loop = asyncio.new_event_loop()
    journal.submit(store("gone"), LoopTicket(loop))
    [ticket] = submit(journal, "here")
    loop.close()

    scribe.gate.set()

    assert ticket.wait(TIMEOUT_SECONDS) == Recorded()
    [later] = submit(journal, "later")
    assert later.wait(TIMEOUT_SECONDS) == Recorded()
