"""A run that is parked for an event or a stream is queued by whoever publishes, before, with or after its park."""

from __future__ import annotations

import pytest

from durust.model.claims import Claimed
from durust.model.copies import ImportWorkflows
from durust.model.status import Status
from durust.model.waits import EVENT, STREAM, Awaited
from durust.model.writes import ParkWorkflow, Recorded, Wait, Write
from durust.storage.provider import StateProvider
from tests.conformance.builders import cancel, commit, delete, finish, fork, make_claimed, row_of
from tests.conformance.publishing import append, close, set_event

KINDS = pytest.mark.parametrize("kind", [EVENT, STREAM])
KEY = {EVENT: "progress", STREAM: "tokens"}


@pytest.fixture
def waiter(provider: StateProvider) -> Claimed:
    return make_claimed(provider, "waiter")


def wait_for(waiter: Claimed, kind: str, *, key: str = "", at: int = 0) -> ParkWorkflow:
    """Return the write that sets a run aside until the target publishes."""
    awaited = Awaited(kind, "target", key or KEY[kind], at)
    return ParkWorkflow(waiter.lease, None, None, (Wait.of(1, awaited, None),))


def publish(kind: str, target: Claimed, place: int = 1) -> Write:
    """Return the write that makes it arrive."""
    return set_event(target, place) if kind == EVENT else append(target, place)


@KINDS
@pytest.mark.parametrize("when", ["before", "with", "after"])
def test_what_is_published_queues_who_is_parked_for_it(
    provider: StateProvider, waiter: Claimed, kind: str, when: str
) -> None:
    target = make_claimed(provider, "target", by="second")
    writes = [publish(kind, target), wait_for(waiter, kind)]

    for batch in {"before": [[0], [1]], "with": [[1, 0]], "after": [[1], [0]]}[when]:
        commit(provider, *(writes[index] for index in batch))

    assert row_of(provider, "waiter").status is Status.ENQUEUED
    assert row_of(provider, "waiter").attempts == 0


@KINDS
def test_another_key_or_another_workflow_queues_nobody(provider: StateProvider, waiter: Claimed, kind: str) -> None:
    target, other = make_claimed(provider, "target", by="second"), make_claimed(provider, "other", by="third")
    commit(provider, wait_for(waiter, kind, key="another"))

    commit(provider, publish(kind, target), publish(kind, other))

    assert row_of(provider, "waiter").status is Status.DELAYED


def test_the_event_of_a_workflow_that_is_not_there_yet_queues_who_is_parked_for_it(
    provider: StateProvider, waiter: Claimed
) -> None:
    commit(provider, wait_for(waiter, EVENT))
    parked = row_of(provider, "waiter").status

    commit(provider, set_event(make_claimed(provider, "target", by="second")))

    assert parked is Status.DELAYED
    assert row_of(provider, "waiter").status is Status.ENQUEUED


@pytest.mark.parametrize("when", ["before", "with", "after"])
@pytest.mark.parametrize("bring", ["fork", "import"])
def test_an_event_that_comes_with_its_workflow_queues_who_is_parked_for_it(
    provider: StateProvider, waiter: Claimed, bring: str, when: str
) -> None:
    source = make_claimed(provider, "target" if bring == "import" else "source", by="second")
    commit(provider, set_event(source))
    [copy] = provider.copies(source.lease.workflow_id, children=False)
    if bring == "import":
        commit(provider, finish(source, after=1), delete("target"))
    arrival = ImportWorkflows((copy,), "creator") if bring == "import" else fork("source", "target", 2)
    writes: list[Write] = [arrival, wait_for(waiter, EVENT)]

    batches = {"before": [[0], [1]], "with": [[1, 0]], "after": [[1], [0]]}[when]
    answers = [commit(provider, *(writes[index] for index in batch)) for batch in batches]

    assert row_of(provider, "waiter").status is Status.ENQUEUED
    if when == "after":
        assert answers[1] == [Recorded(queues=frozenset({waiter.queue or ""}))]


def test_values_that_were_read_before_queue_nobody(provider: StateProvider, waiter: Claimed) -> None:
    target = make_claimed(provider, "target", by="second")
    commit(provider, append(target, 1), append(target, 2))
    commit(provider, wait_for(waiter, STREAM, at=2))
    parked = row_of(provider, "waiter").status

    commit(provider, append(target, 3))

    assert parked is Status.DELAYED
    assert row_of(provider, "waiter").status is Status.ENQUEUED


@pytest.mark.parametrize("end", ["close", "finish", "cancel"])
def test_the_end_of_a_stream_queues_who_is_parked_for_its_next_value(
    provider: StateProvider, waiter: Claimed, end: str
) -> None:
    target = make_claimed(provider, "target", by="second")
    commit(provider, append(target, 1))
    commit(provider, wait_for(waiter, STREAM, at=1))
    writes: dict[str, Write] = {"close": close(target, 2), "finish": finish(target), "cancel": cancel("target")}

    commit(provider, writes[end])

    assert row_of(provider, "waiter").status is Status.ENQUEUED
