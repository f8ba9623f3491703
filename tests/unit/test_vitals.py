"""The shared page: who writes what, and how long a worker trusts its lease."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durust import clock
from durust.supervisor.plan import State
from durust.supervisor.vitals import Counts, Page, PageLease


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page.make(3)
    yield made
    made.close()


def test_a_fresh_slot_says_that_nothing_has_begun(page: Page) -> None:
    assert page.counts(1) == Counts(0, State.STARTING, 0, 0, 0, 0)
    assert page.confirmed_at(1) == 0


def test_slots_do_not_touch_each_other(page: Page) -> None:
    page.tell(1, running=1, done=2, failed=3, steps=4)
    page.advance(1)
    page.enter(1, State.LIVE)
    page.confirm(1, 12.5)

    assert page.counts(1) == Counts(1, State.LIVE, 1, 2, 3, 4)
    assert page.confirmed_at(1) == 12.5
    assert page.counts(0) == page.counts(2) == Counts(0, State.STARTING, 0, 0, 0, 0)


def test_a_cleared_slot_is_fresh_again(page: Page) -> None:
    page.tell(1, running=1, done=2, failed=3, steps=4)
    page.confirm(1, 12.5)

    page.clear(1)

    assert page.counts(1) == Counts(0, State.STARTING, 0, 0, 0, 0)
    assert page.confirmed_at(1) == 0


def test_a_state_that_is_none_does_not_break_the_reader(page: Page) -> None:
    page._words[1 * 16 + 2] = 99

    assert page.counts(1).state is State.LIVE


def test_a_lease_is_not_trusted_before_the_executor_is_registered(page: Page) -> None:
    assert not PageLease(page, 1, ttl_seconds=10.0, margin_seconds=1.0).trusted()


def test_a_registered_executor_trusts_its_first_lease_and_tells_the_supervisor(page: Page) -> None:
    lease = PageLease(page, 1, ttl_seconds=10.0, margin_seconds=1.0)

    lease.start()

    assert lease.trusted()
    assert page.counts(1).state is State.REGISTERED


@pytest.mark.protocol("4.beat.page")
def test_a_lease_is_trusted_until_its_beat_was_sent_plus_ttl_less_the_margin(page: Page) -> None:
    lease = PageLease(page, 1, ttl_seconds=10.0, margin_seconds=1.0)
    lease._made_at = 0.0
    lease.start()

    page.confirm(1, clock.boottime() - 9.1)
    assert not lease.trusted()

    page.confirm(1, clock.boottime() - 8.0)
    assert lease.trusted()
