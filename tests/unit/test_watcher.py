"""The watcher completes a future for each workflow that is waited for, with few queries."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from durust import clock
from durust.engine import watcher as watcher_module
from durust.engine.watcher import FIRST_LOOK_SECONDS, REST_SECONDS_MIN, Watcher
from durust.errors import ProviderUnavailable
from durust.model.message_writes import Letter
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.waits import MESSAGE, RESULT, Awaited, Ending, Gone
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import Hint
from tests.conformance.builders import commit, finish, make_enqueued, make_started
from tests.support.line import Line
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# So that after the first looks only a hint or a new watch brings the next one within a test.
SLOWEST_SECONDS = 600.0
DONE = Ending(Status.SUCCESS, '"done"', None, "portable_json")


@pytest.fixture
def line() -> Line:
    return Line(InMemoryProvider())


@pytest.fixture
def idle(line: Line) -> Iterator[Watcher]:
    """Return a watcher whose rounds the test makes."""
    made = Watcher(line, SLOWEST_SECONDS)
    yield made
    made.stop()


@pytest.fixture
def watcher(idle: Watcher) -> Watcher:
    idle.start()
    return idle


def end_of(workflow_id: str) -> Awaited:
    return Awaited(RESULT, workflow_id)


def end(line: Line, lease: Lease) -> None:
    """End a workflow as another process does."""
    commit(line.behind, finish(lease))


def test_the_end_of_a_workflow_of_this_process_settles_at_once(idle: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    futures = [idle.watch(end_of(lease.workflow_id)) for _ in range(3)]

    idle.finished(finish(lease))

    assert [future.result(0) for future in futures] == [DONE] * 3
    assert line.calls["values"] == 0


def test_the_end_of_a_workflow_elsewhere_is_found_by_looking(watcher: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    future = watcher.watch(end_of(lease.workflow_id))
    eventually(lambda: line.calls["values"])

    end(line, lease)
    watcher.hint(Hint("workflow"))

    assert future.result(TIMEOUT_SECONDS) == DONE


def test_the_end_of_a_workflow_elsewhere_is_found_without_any_hint(line: Line) -> None:
    watcher = Watcher(line, slowest_seconds=0.02)
    watcher.start()
    lease = make_started(line.behind)
    future = watcher.watch(end_of(lease.workflow_id))
    eventually(lambda: line.calls["values"] > 5)

    end(line, lease)

    assert future.result(TIMEOUT_SECONDS) == DONE
    watcher.stop()


@pytest.mark.covers(50)
def test_an_end_that_came_before_the_watch_is_found(idle: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    end(line, lease)

    future = idle.watch(end_of(lease.workflow_id))
    idle.run_once()

    assert future.result(0) == DONE


@pytest.mark.covers(69)
def test_a_workflow_without_a_row_is_not_found(idle: Watcher) -> None:
    future = idle.watch(end_of("nowhere"))

    idle.run_once()

    assert future.result(0) == Gone()


@pytest.mark.covers(197)
def test_one_query_asks_for_all_that_are_waited_for(idle: Watcher, line: Line) -> None:
    leases = [make_started(line.behind, f"run {number}") for number in range(50)]
    futures = [idle.watch(end_of(lease.workflow_id)) for lease in leases for _ in range(2)]
    for lease in leases[:40]:
        end(line, lease)

    idle.run_once()

    assert line.calls["values"] == 1
    assert [future.done() for future in futures] == [True] * 80 + [False] * 20


def test_more_than_one_query_may_name_are_asked_for_in_pages(
    idle: Watcher, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "IDS_MAX", 4)
    futures = [idle.watch(end_of(make_enqueued(line.behind))) for _ in range(9)]
    futures.append(idle.watch(end_of("nowhere")))

    idle.run_once()

    assert line.calls["values"] == 3
    assert [future.done() for future in futures] == [False] * 9 + [True]


def test_what_nobody_waits_for_is_not_asked_for(idle: Watcher, line: Line) -> None:
    workflow_id = make_enqueued(line.behind)
    futures = [idle.watch(end_of(workflow_id)) for _ in range(2)]

    for future in futures:
        idle.abandon(end_of(workflow_id), future)

    assert idle.run_once() is None
    assert line.calls["values"] == 0


def test_who_stops_waiting_leaves_the_others_waiting(idle: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    left, kept = (idle.watch(end_of(lease.workflow_id)) for _ in range(2))

    idle.abandon(end_of(lease.workflow_id), left)
    idle.finished(finish(lease))

    assert kept.result(0) == DONE
    assert not left.done()


def test_a_cancelled_future_does_not_keep_the_others_from_the_end(idle: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    cancelled, kept = (idle.watch(end_of(lease.workflow_id)) for _ in range(2))
    cancelled.cancel()

    idle.finished(finish(lease))

    assert kept.result(0) == DONE


def test_to_abandon_what_is_settled_changes_nothing(idle: Watcher) -> None:
    idle.abandon(end_of("nowhere"), Future())

    assert idle.run_once() is None


def test_stopping_fails_what_is_waited_for_then_and_later(watcher: Watcher, line: Line) -> None:
    workflow_id = make_enqueued(line.behind)
    future = watcher.watch(end_of(workflow_id))

    watcher.stop()

    for one in (future, watcher.watch(end_of(workflow_id))):
        with pytest.raises(ProviderUnavailable, match="closed"):
            one.result(0)


def test_a_database_that_is_away_for_a_while_is_only_late(watcher: Watcher, line: Line) -> None:
    lease = make_started(line.behind)
    line.cut()
    future = watcher.watch(end_of(lease.workflow_id))
    end(line, lease)

    line.mend()

    assert future.result(TIMEOUT_SECONDS) == DONE


def test_looks_become_rare(idle: Watcher, line: Line) -> None:
    idle.watch(end_of(make_enqueued(line.behind)))

    pauses = [idle.run_once() or 0.0 for _ in range(6)]

    assert pauses == sorted(pauses)
    assert 0.1 < pauses[-1] < FIRST_LOOK_SECONDS * 64


def test_a_message_of_this_process_is_there_at_once(idle: Watcher, line: Line) -> None:
    futures = [idle.watch(Awaited(MESSAGE, "receiver", "topic")) for _ in range(2)]
    other = idle.watch(Awaited(MESSAGE, "receiver", "other"))

    idle.sent([Letter("id", "receiver", "topic", "1", "portable_json")])

    assert [future.result(0) for future in futures] == [True] * 2
    assert not other.done()
    assert line.calls["values"] == 0


def test_a_hint_is_heard_at_once_after_a_look_that_nobody_asked_for(
    idle: Watcher, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(clock, "pause", rests.append)
    idle.watch(end_of(make_enqueued(line.behind)))

    idle.run_once()
    assert len(rests) == 1
    idle.run_once()
    assert len(rests) == 1
    idle.hint(Hint("workflow"))
    idle.run_once()
    assert len(rests) == 2
    assert line.calls["values"] == 3


@pytest.mark.covers(197)
def test_a_storm_of_hints_is_no_storm_of_queries(watcher: Watcher, line: Line) -> None:
    watcher.watch(end_of(make_enqueued(line.behind)))
    eventually(lambda: line.calls["values"])
    before, begun = line.calls["values"], clock.monotonic()

    for _ in range(100_000):
        watcher.hint(Hint("workflow"))

    took = clock.monotonic() - begun
    # One may have been under way, and one more may come right after the last hint.
    assert line.calls["values"] - before <= took / REST_SECONDS_MIN + 2


def test_hints_cost_no_query_when_nobody_waits(watcher: Watcher, line: Line) -> None:
    for _ in range(1000):
        watcher.hint(Hint("workflow"))

    watcher.stop()

    assert line.calls["values"] == 0
