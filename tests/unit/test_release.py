"""Leases of the living are renewed, the dead give back what they held, and after an outage nobody is taken for dead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from durust import clock
from durust.engine.identity import registration
from durust.errors import ProviderUnavailable
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, QueueWant, Scope
from durust.model.status import Status
from durust.model.writes import Retire, StartWorkflow
from durust.settings import Settings
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import Hint
from durust.supervisor.beats import Beats, Patience, Roster
from durust.supervisor.facts import Away, Back, Facts, HandedBack, Heard, Lost
from durust.supervisor.release import Releases
from durust.supervisor.vitals import Page

SETTINGS = Settings()
ME = "su:me"


@dataclass
class Desk:
    """A supervisor's beats and releases over a memory database, run by hand."""

    provider: InMemoryProvider
    page: Page
    woken: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.facts = Facts(lambda: self.woken.append(True))
        self.patience = Patience(SETTINGS.lease_seconds)
        self.beats = Beats(self.provider, self.page, SETTINGS, self.patience, self.facts)
        self.releases = Releases(self.provider, self.facts)


@pytest.fixture
def desk() -> Iterator[Desk]:
    page = Page.make(2)
    yield Desk(InMemoryProvider(), page)
    page.close()


def register(provider: InMemoryProvider, executor_id: str) -> None:
    provider.commit([registration(executor_id, ME, SETTINGS, None)])


def claim_one(provider: InMemoryProvider, executor_id: str) -> str:
    provider.commit([StartWorkflow("w-1", "job", None, "portable_json", "c", "durust", queue="work")])
    scope = Scope("durust", ("job",))
    [claimed] = provider.claim(ClaimRequest(executor_id, scope, ("1",), (QueueWant("work", 1),), 1))
    return claimed.lease.workflow_id


def test_a_confirmed_beat_is_noted_on_the_page_with_the_time_it_was_sent(desk: Desk) -> None:
    register(desk.provider, "du:one")
    desk.beats.enlist({"du:one": 1})
    before = clock.boottime()

    desk.beats.run_once()

    assert before <= desk.page.confirmed_at(1) <= clock.boottime()
    assert desk.page.confirmed_at(0) == 0


@pytest.mark.protocol("4.beat.reaped-is-told")
def test_an_executor_that_a_beat_does_not_bring_back_is_lost(desk: Desk) -> None:
    for executor_id in ("du:one", "du:two"):
        register(desk.provider, executor_id)
    desk.beats.enlist({"du:one": 0, "du:two": 1})
    desk.provider.commit([Retire(("du:two",), "reaped by another")])

    desk.beats.run_once()

    assert desk.facts.take() == [Lost(frozenset({"du:two"}))]
    assert desk.page.confirmed_at(1) == 0


def test_nobody_is_beaten_for_in_the_name_of_a_loop_that_stands_still(desk: Desk) -> None:
    register(desk.provider, "du:one")
    desk.beats._roster = Roster({"du:one": 0}, clock.monotonic() - SETTINGS.lease_seconds)

    desk.beats.run_once()

    assert desk.page.confirmed_at(0) == 0
    assert desk.facts.take() == []


def test_what_a_dead_worker_held_is_queued_again_and_told(desk: Desk) -> None:
    register(desk.provider, "du:one")
    workflow_id = claim_one(desk.provider, "du:one")

    desk.releases.retire("du:one", "was killed")
    desk.releases.run_once()

    assert desk.releases.is_idle()
    assert desk.facts.take() == [HandedBack("du:one", 1), Heard((Hint("queue", "work"),))]
    [row] = desk.provider.workflows(ListFilter(workflow_ids=[workflow_id]))
    assert row.status is Status.ENQUEUED
    [executor] = desk.provider.executors(ExecutorQuery(states=("DEAD",)))
    assert executor.why == "was killed"


@pytest.mark.covers(58)
def test_what_could_not_be_released_is_released_when_the_database_answers_again(desk: Desk) -> None:
    register(desk.provider, "du:one")
    claim_one(desk.provider, "du:one")
    desk.releases.run_once()
    desk.provider._is_closed = True
    desk.releases.retire("du:one", "was killed")
    with pytest.raises(ProviderUnavailable):
        desk.releases.run_once()
    assert not desk.releases.is_idle()

    desk.provider._is_closed = False
    desk.releases.run_once()

    assert desk.releases.is_idle()
    assert [type(fact) for fact in desk.facts.take()] == [HandedBack, Heard]
    assert desk.woken


def test_an_outage_is_told_once_and_so_is_its_end(desk: Desk) -> None:
    desk.beats.run_once()
    desk.provider._is_closed = True
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            desk.beats.run_once()

    desk.provider._is_closed = False
    for _ in range(3):
        desk.beats.run_once()

    assert desk.facts.take() == [Away("it was closed"), Back()]


def test_a_first_round_releases_what_a_killed_supervisor_of_this_host_left(desk: Desk) -> None:
    gone = registration("du:gone", "su:gone", SETTINGS, None)
    # No process of this pid started at that time.
    desk.provider.commit([replace(gone, pid_started=gone.pid_started - 1000)])
    register(desk.provider, "du:alive")
    claim_one(desk.provider, "du:gone")

    desk.releases.run_once()

    assert [row.executor_id for row in desk.provider.executors(ExecutorQuery())] == ["du:alive"]
    [row] = desk.provider.workflows(ListFilter())
    assert row.status is Status.ENQUEUED


@pytest.mark.protocol("4.reap.after-outage")
def test_others_are_reaped_one_lease_after_the_first_good_beat() -> None:
    patience = Patience(10.0)

    assert not patience.may_reap(0.0)
    patience.note_beat(100.0)
    for now in range(102, 110, 2):
        patience.note_beat(now)
        assert not patience.may_reap(now)
    patience.note_beat(110.0)
    assert patience.may_reap(110.0)


@pytest.mark.protocol("4.reap.after-outage")
@pytest.mark.parametrize(("gap", "is_outage"), [(4.9, False), (5.1, True)])
def test_a_supervisor_that_could_not_beat_for_half_a_lease_waits_a_whole_one(gap: float, *, is_outage: bool) -> None:
    patience = Patience(10.0)
    for now in (0.0, 4.0, 8.0, 12.0):
        patience.note_beat(now)
    back = 12.0 + gap

    assert patience.may_reap(back) is not is_outage
    patience.note_beat(back)

    assert patience.may_reap(back) is not is_outage
    for later in (4.0, 8.0):
        patience.note_beat(back + later)
        assert patience.may_reap(back + later) is not is_outage
    patience.note_beat(back + 10.0)
    assert patience.may_reap(back + 10.0)
