"""A run parks for an event or a stream while that is written: neither can miss the other."""

from __future__ import annotations

import pytest

from durust.model.claims import Claimed
from durust.model.publications import AppendStream, SetEvent
from durust.model.status import Status
from durust.model.waits import EVENT, STREAM
from durust.model.wakes import wakes_of
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import forks, publications, waking
from durust.storage.postgres_writes.parking import hold_awaited, park_workflows, wake_parked
from tests.conformance.builders import commit, fork, make_claimed, row_of
from tests.conformance.publishing import append, set_event
from tests.conformance.test_publication_arrivals import wait_for
from tests.storage.races import Actor, Race, cut
from tests.support.waiting import TIMEOUT_SECONDS

SHIPPED_OR_CUT = pytest.mark.parametrize("is_cut", [False, True], ids=["shipped", "cut"])
KINDS = pytest.mark.parametrize("kind", [EVENT, STREAM])
BUSY = "or not pg_try_advisory_xact_lock(%(lock)s::integer, abs(mod(hashtext(t.target), %(buckets)s::integer)))"


@pytest.fixture
def waiter(provider: PostgresProvider) -> Claimed:
    return make_claimed(provider, "waiter")


def publication(kind: str, target: Claimed) -> SetEvent | AppendStream:
    """Return the write that makes it arrive."""
    return set_event(target) if kind == EVENT else append(target)


def write(actor: Actor, wanted: SetEvent | AppendStream) -> None:
    """Write a publication, and look for who waits, in a transaction that is open."""
    if isinstance(wanted, SetEvent):
        actor.do(SQL.hold_buckets.sql, waking.hold_buckets([wanted.lease.workflow_id]))
        actor.do(SQL.set_events.sql, publications.publish([wanted]))
    else:
        actor.do(SQL.append_streams.sql, publications.publish([wanted]))
    actor.do(SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(wanted)))


@pytest.mark.protocol("4.park.wakers")
@KINDS
@SHIPPED_OR_CUT
def test_what_is_being_published_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, kind: str, *, is_cut: bool
) -> None:
    """It is written and has found no waits; the park looks before that has committed."""
    parked = wait_for(waiter, kind)
    wanted = publication(kind, make_claimed(provider, "target", by="second"))
    parking, publishing = race.actor("parking"), race.actor("publishing")
    look = SQL.wake_parked.sql

    publishing.do("begin")
    write(publishing, wanted)
    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([parked]))
    parking.do(SQL.hold_awaited.sql, hold_awaited([parked]))
    parking.do(cut(look, "v.target in (", "false and v.target in (") if is_cut else look, wake_parked([parked]))
    parking.do("commit")
    publishing.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.park.wakers")
@KINDS
@SHIPPED_OR_CUT
def test_a_park_that_is_under_way_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, kind: str, *, is_cut: bool
) -> None:
    """The park has looked and found nothing; it is published before the waits have committed."""
    parked = wait_for(waiter, kind)
    wanted = publication(kind, make_claimed(provider, "target", by="second"))
    parking, publishing = race.actor("parking"), race.actor("publishing")
    statement = SQL.set_events.sql if kind == EVENT else SQL.append_streams.sql

    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([parked]))
    parking.do(SQL.hold_awaited.sql, hold_awaited([parked]))
    parking.do(SQL.wake_parked.sql, wake_parked([parked]))
    publishing.do("begin")
    sql = cut(statement, "for no key update", "for key share") if is_cut else statement
    written = publishing.start(sql, publications.publish([wanted]))
    if not is_cut:
        race.until_blocked(publishing.pid)
        parking.do("commit")
    assert written.result(TIMEOUT_SECONDS)
    publishing.do(SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(wanted)))
    publishing.do("commit")
    if is_cut:
        parking.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.park.wakers")
@SHIPPED_OR_CUT
def test_a_park_for_a_workflow_that_is_not_there_yet_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, *, is_cut: bool
) -> None:
    """The park has found no workflow and no event; both come about before the waits have committed."""
    parked = wait_for(waiter, EVENT)
    parking, publishing = race.actor("parking"), race.actor("publishing")
    hold = cut(SQL.hold_awaited.sql, BUSY) if is_cut else SQL.hold_awaited.sql
    parameters = hold_awaited([parked])

    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([parked]))
    parking.do(hold, parameters)
    parking.do(SQL.wake_parked.sql, wake_parked([parked]))
    wanted = set_event(make_claimed(provider, "target", by="second"))
    publishing.do("begin")
    held = publishing.start(SQL.hold_buckets.sql, waking.hold_buckets(["target"]))
    if not is_cut:
        race.until_blocked(publishing.pid)
        parking.do("commit")
    held.result(TIMEOUT_SECONDS)
    write(publishing, wanted)
    publishing.do("commit")
    if is_cut:
        parking.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.park.wakers")
@SHIPPED_OR_CUT
def test_the_event_of_a_workflow_that_a_park_has_not_seen_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, *, is_cut: bool
) -> None:
    """The park has found no workflow; it comes about and its event is being written when the park takes its place."""
    parked = wait_for(waiter, EVENT)
    parking, publishing = race.actor("parking"), race.actor("publishing")
    look = SQL.wake_parked.sql

    with race.held(parking, "hashtext(text) returns integer"):
        parking.do("begin")
        parking.do(SQL.park_workflows.sql, park_workflows([parked]))
        held = parking.start(SQL.hold_awaited.sql, hold_awaited([parked]))
        race.until_waiting(parking)
        wanted = set_event(make_claimed(provider, "target", by="second"))
        publishing.do("begin")
        write(publishing, wanted)
    held.result(TIMEOUT_SECONDS)
    parking.do(cut(look, "v.target in (", "false and v.target in (") if is_cut else look, wake_parked([parked]))
    parking.do("commit")
    publishing.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.park.wakers")
@SHIPPED_OR_CUT
def test_an_event_that_a_fork_is_bringing_is_not_missed(
    provider: PostgresProvider, race: Race, waiter: Claimed, *, is_cut: bool
) -> None:
    """The fork is made and has found no waits; the park looks before that has committed."""
    source = make_claimed(provider, "source", by="second")
    commit(provider, set_event(source))
    wanted, parked = fork("source", "target", 2), wait_for(waiter, EVENT)
    parking, forking = race.actor("parking"), race.actor("forking")
    hold, made = forks.KINDS[type(wanted)].calls([wanted])

    forking.do("begin")
    for call in [made] if is_cut else [hold, made]:
        forking.do(call.statement.sql, call.params)
    forking.do(SQL.wake_waiters.sql, waking.wake_waiters(wakes_of(wanted)))
    parking.do("begin")
    parking.do(SQL.park_workflows.sql, park_workflows([parked]))
    parking.do(SQL.hold_awaited.sql, hold_awaited([parked]))
    parking.do(SQL.wake_parked.sql, wake_parked([parked]))
    parking.do("commit")
    forking.do("commit")

    assert row_of(provider, "waiter").status is (Status.DELAYED if is_cut else Status.ENQUEUED)


@pytest.mark.protocol("4.checkpoints.streams")
def test_a_batch_that_is_sent_again_beside_itself_appends_once(provider: PostgresProvider, race: Race) -> None:
    target = make_claimed(provider, "target")
    first, second = race.actor("first"), race.actor("second")
    batch = publications.publish([append(target, place) for place in (1, 2)])

    first.do("begin")
    first.do(SQL.append_streams.sql, batch)
    again = second.start(SQL.append_streams.sql, batch)
    race.until_waiting(second)
    first.do("commit")

    assert again.result(TIMEOUT_SECONDS) == []
    assert [entry.offset for entry in provider.streams("target")["tokens"]] == [0, 1]
